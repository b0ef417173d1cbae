"""One header of a response, and what becomes of the application's own of that name.

The sidecar sees no response: it can only tell Envoy what to do with one. What Envoy can do
is this, so it is all that a policy can ask for.
"""

from enum import IntEnum
from typing import NamedTuple


class How(IntEnum):
    """Envoy's ``HeaderAppendAction``, by its numbers."""

    BESIDE = 0
    """Another line beside the application's (for ``vary`` and CSP: both count)."""
    IF_ABSENT = 1
    """The application's own stands, ours only where it sends none."""
    REPLACE = 2
    """Ours, whatever the application sends."""
    REPLACE_IF_PRESENT = 3
    """Ours, but only where the application sends one."""


class ResponseHeader(NamedTuple):
    """What to set on a response."""

    name: str
    value: bytes
    how: How = How.REPLACE
