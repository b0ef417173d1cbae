"""What a change of the snapshot changes: nothing, the snapshot, or the decisions made with it.

A poll without news must cost nothing: an equal snapshot stays the same object, so that cached
answers stay valid, here and in Envoy. Where one is exchanged, ``decides_alike`` says whether an
answer of the old one that Envoy may repeat (``sidecar.decision_cache``) is the new one's too.
"""

from typing import Any

import msgspec

from sidecar.authz.decision import Snapshot

_OF_BUNDLES = frozenset({"modules", "publishers"})
"""What only requests with a bundle depend on, and those are never repeated."""
_IF_REFUSED = frozenset({"revocations_degraded"})
"""What decides only where degraded keys and revocations are denied."""


def exchanged(held: Snapshot, **changes: Any) -> Snapshot:
    """Return the snapshot with these fields; ``held`` itself where none of them differs."""
    different = {name: new for name, new in changes.items() if not _same(getattr(held, name), new)}
    return msgspec.structs.replace(held, **different) if different else held


def decides_alike(one: Snapshot, other: Snapshot) -> bool:
    """Return whether every answer that may be repeated is the same under both.

    Every field counts that is not named above: a new one can only cause too many questions.
    """
    ignored = _OF_BUNDLES if other.refuse_degraded else _OF_BUNDLES | _IF_REFUSED
    return all(
        _same(getattr(one, name), getattr(other, name))
        for name in Snapshot.__struct_fields__
        if name not in ignored
    )


def _same(one: Any, other: Any) -> bool:
    return one is other or bool(one == other)
