"""Envoy's id of a request, ``x-request-id``, as far as it is believed.

Envoy makes one for each request that comes from outside, and passes on what a peer inside
sends. So it is a client's text, which is written into audit lines, answers and exemplars: only
what has an id's form is taken, and everything else counts as absent.
"""

import re
from collections.abc import Mapping

HEADER = "x-request-id"
MIN_BYTES, MAX_BYTES = 8, 64

_FORM = re.compile(rb"(?!.*eyJ)[0-9A-Za-z_-]{%d,%d}" % (MIN_BYTES, MAX_BYTES))
"""UUIDs, ULIDs, hexadecimal digits and what is like them. Nothing that needs an escape, no
address, and no part of a JWT, which begins with ``eyJ`` (``common.redact``). ``request.c`` of the
decision cache reads the same form."""


def read_request_id(headers: Mapping[str, bytes]) -> bytes:
    """Return the id that a request's headers name; empty where there is none of that form."""
    value = headers.get(HEADER)
    return value if value is not None and _FORM.fullmatch(value) else b""
