"""Which version of a data key writes, which read, and when the next is due. Pure.

A version is made when the one before is old, and is only read at first: for as long as a process
may live with what it loaded before. Then it writes, and the old one is read until it is retired.
The first version of a scope writes at once. Where the newest record is destroyed, so is the
scope: shredding puts such a record at the end, which nobody can write a key over.
"""

from collections.abc import Sequence
from typing import NamedTuple

from workload.encryption.errors import FieldKeysMissing
from workload.encryption.places import KeyScope
from workload.encryption.sealed import MAX_VERSION

MAX_LIVE_VERSIONS = 32


def wrapping_context(scope: KeyScope, version: int) -> bytes:
    """Return what a data key is bound to while it is wrapped: it opens as nothing else."""
    return scope.encoded + version.to_bytes(4, "big")


class WrappedKey(NamedTuple):
    """A record of the key store. ``wrapped`` is ``None`` where the key was destroyed."""

    scope: KeyScope
    version: int
    kek: str
    wrapped: str | None
    created_at: float
    """Unix time in seconds."""


class LiveKey(NamedTuple):
    """A record that has its key."""

    version: int
    kek: str
    wrapped: str


class VersionPlan(NamedTuple):
    """What holds at a moment."""

    live: tuple[LiveKey, ...]
    """The newest last."""
    writing: int
    """The version that writes; 0 where there is none."""
    newest: int
    due: bool
    """The next version should be made."""
    destroyed: bool
    is_pending: bool
    """The newest version is only read as yet."""


def plan_versions(
    records: Sequence[WrappedKey], now: float, rotate_after: float, publish_ahead: float
) -> VersionPlan:
    """Say what the records of one scope mean at ``now``, Unix seconds.

    Raises ``FieldKeysMissing`` where they are too many, or have no sense.
    """
    if not records:
        return VersionPlan((), 0, 0, due=True, destroyed=False, is_pending=False)
    ordered = sorted(records, key=lambda record: record.version)
    newest = ordered[-1]
    if not 0 < ordered[0].version <= newest.version <= MAX_VERSION:
        raise FieldKeysMissing("the key store has a version that is none")
    if newest.wrapped is None:
        return VersionPlan((), 0, newest.version, due=False, destroyed=True, is_pending=False)
    live = tuple(
        LiveKey(each.version, each.kek, each.wrapped)
        for each in ordered
        if each.wrapped is not None
    )
    if len(live) > MAX_LIVE_VERSIONS:
        raise FieldKeysMissing(
            f"a scope has more than {MAX_LIVE_VERSIONS} live keys; re-encrypt, and retire the old"
        )
    ready = [
        each.version
        for each in ordered
        if each.wrapped is not None and each.created_at + publish_ahead <= now
    ]
    writing = ready[-1] if ready else live[0].version
    return VersionPlan(
        live,
        writing,
        newest.version,
        due=newest.created_at + rotate_after <= now,
        destroyed=False,
        is_pending=writing != newest.version,
    )
