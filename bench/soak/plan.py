"""What an act of the soak is: how long, how many sidecars, how dense."""

from typing import NamedTuple

from bench.soak.schedule import LANES


class Plan(NamedTuple):
    """What is run."""

    name: str
    seed: int
    seconds: float
    sidecars: int
    clients: int = 12
    pause_seconds: float = 0.15
    """Of a client between an answer and its next request."""
    pace: float = 1.0
    dual_key_seconds: float = 30.0
    poll_seconds: float = 5.0
    lanes: tuple[str, ...] = tuple(LANES)
