"""The only reader of the time. Everything else is given ``now``."""

import time
from collections.abc import Callable

Now = Callable[[], float]
"""A source of Unix time in seconds."""


# The functions themselves without wrappers: a Check reads the time three times.
wall_seconds: Now = time.time
"""Seconds since the Unix epoch: what token and certificate dates are compared with."""
monotonic_seconds: Now = time.monotonic
"""Seconds that never jump: for time-outs and back-off."""
monotonic_ns: Callable[[], int] = time.monotonic_ns
"""CLOCK_MONOTONIC in nanoseconds: the same in every process of the machine."""
elapsed_ns: Callable[[], int] = time.perf_counter_ns
"""Nanoseconds that never jump: for the latency of one Check."""
cpu_seconds: Callable[[], float] = time.process_time
"""CPU this process has used, in user and kernel mode."""
