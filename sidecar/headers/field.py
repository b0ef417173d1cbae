"""One header of a response, and how it combines with the application's header of that name.

The sidecar sees no response: it can only instruct Envoy. These are Envoy's options, so a policy
has no others.
"""

from enum import IntEnum
from typing import NamedTuple


class How(IntEnum):
    """Envoy's ``HeaderAppendAction``, by its numbers."""

    BESIDE = 0
    """A line in addition to the application's (for ``vary`` and CSP: both count)."""
    IF_ABSENT = 1
    """The application's value; the sidecar's only where there is none."""
    REPLACE = 2
    """The sidecar's value, in any case."""
    REPLACE_IF_PRESENT = 3
    """The sidecar's value, but only where the application sends the header."""


class ResponseHeader(NamedTuple):
    """A header to set on a response."""

    name: str
    value: bytes
    how: How = How.REPLACE
