"""The only reader of the time. Everything else is given ``now``."""

import time
from collections.abc import Callable

Now = Callable[[], float]
"""A source of Unix time in seconds."""

wall_seconds: Now = time.time
"""Seconds since the Unix epoch: what the dates of certificates are compared with."""
monotonic_seconds: Now = time.monotonic
"""Seconds that never jump: for the life of a token."""
