"""Ids of decisions, as long as the sidecar's own."""

from collections.abc import Callable
from itertools import count

from sidecar.authz.decision_ids import ID_BYTES

ONE_ID = b"d" * ID_BYTES


def one_id() -> bytes:
    """Return the same id each time."""
    return ONE_ID


def numbered_ids() -> Callable[[], bytes]:
    """Return a function whose ids are counted from one."""
    numbers = count(1)
    return lambda: numbered(next(numbers))


def numbered(number: int) -> bytes:
    """Return the id of a number."""
    return b"%0*d" % (ID_BYTES, number)
