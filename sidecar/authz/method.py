"""The form of a request's method: capital letters, as every registered one (RFC 9110 §9.1)."""

import re

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason

OPTIONS = b"OPTIONS"
_METHOD = re.compile(rb"[A-Z]{1,32}")


def is_method(raw: bytes) -> bool:
    """Return whether these bytes are a method of 1 to 32 capital letters."""
    return _METHOD.fullmatch(raw) is not None


def canonical_method(raw: bytes) -> str:
    """Return the method as text. Raises ``Denied(request_malformed)`` for any other form."""
    if not raw:
        hint = "the Check has no method; add ':method' to ext_authz's allowed_headers in Envoy"
        raise Denied(Reason.REQUEST_MALFORMED, hint)
    if not is_method(raw):
        raise Denied(Reason.REQUEST_MALFORMED, "the method is not 1 to 32 capital letters")
    return raw.decode("ascii")
