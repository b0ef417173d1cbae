"""Brings buckets to another policy in slices, between which the event loop answers Checks."""

import asyncio

from sidecar.common.clock import elapsed_ns
from sidecar.limits.buckets import Buckets


def adjust_soon(limiter: Buckets) -> None:
    """Adjust a slice of the buckets now, and the others one after the other, soon."""
    if limiter.adjust(elapsed_ns()):
        asyncio.get_running_loop().call_soon(adjust_soon, limiter)
