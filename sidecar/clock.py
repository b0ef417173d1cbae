"""The only reader of the time. Everything else is given ``now``."""

import time
from collections.abc import Callable

Now = Callable[[], float]
"""A source of Unix time in seconds."""


def wall_seconds() -> float:
    """Seconds since the Unix epoch: what token and certificate dates are compared with."""
    return time.time()


def monotonic_seconds() -> float:
    """Seconds that never jump: for time-outs, back-off and latency."""
    return time.monotonic()


def elapsed_ns() -> int:
    """Nanoseconds that never jump: for the latency of one Check."""
    return time.perf_counter_ns()


def cpu_seconds() -> float:
    """CPU this process has used, in user and kernel mode."""
    return time.process_time()
