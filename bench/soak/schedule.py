"""Which disturbance comes when: a pure function of the seed.

Disturbances are drawn in lanes. Those of one lane follow one another; lanes overlap. Of a lane's
kinds each comes once before one comes again, so that a short run meets as many as it can. The
times are when a disturbance begins at the soonest: on a slow machine the one before may not be
over, and then the order is kept and the time is not.
"""

import random
from collections.abc import Mapping
from typing import NamedTuple

LANES: Mapping[str, tuple[str, ...]] = {
    "vault": (
        *("keys_rotated", "vault_killed", "token_revoked", "vault_frozen", "subject_revoked"),
        *("keys_rotated", "vault_sealed", "bundle_withdrawn"),
    ),
    "configuration": (
        *("routes_changed", "file_broken", "routes_changed", "restart_overlapped"),
        *("routes_changed", "file_broken", "routes_changed"),
    ),
    "processes": ("worker_killed", "sidecar_killed", "worker_killed", "sidecar_restarted"),
    "certificates": ("names_registered", "certificate_renewed"),
    "load": ("flood", "disk_full"),
    "envoy": ("listeners_updated", "envoy_restarted"),
    "redis": ("redis_killed", "redis_frozen"),
}
PAUSE_SECONDS: Mapping[str, float] = {
    "vault": 14, "configuration": 9, "processes": 55, "certificates": 20, "load": 18,
    "envoy": 40, "redis": 35,
}  # fmt: skip
"""The mean pause between two disturbances of a lane."""
_FEWEST = 0.35


class Disturbance(NamedTuple):
    """One thing to be done to the stack."""

    at_seconds: float
    lane: str
    kind: str
    number: int
    """Of all of its lane, from 0."""
    strength: float
    """From 0 to 1: how long, how many, or which."""


def draw(seed: int, act: str, seconds: float, pace: float = 1.0) -> tuple[Disturbance, ...]:
    """Return the disturbances of an act of so many seconds, in order of their times.

    ``pace`` divides every pause: a short run is a dense one.
    """
    found: list[Disturbance] = []
    for lane, kinds in LANES.items():
        rng = random.Random(f"{seed}/{act}/{lane}")
        pause = PAUSE_SECONDS[lane] / pace
        at, deck, number = rng.uniform(0.1, 0.6) * pause, list[str](), 0
        while at < seconds:
            if not deck:
                deck = rng.sample(kinds, len(kinds))
            found.append(Disturbance(round(at, 3), lane, deck.pop(), number, rng.random()))
            at += max(_FEWEST * pause, rng.expovariate(1 / pause))
            number += 1
    return tuple(sorted(found))
