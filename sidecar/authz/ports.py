"""The interfaces that the Check service needs to run expensive work."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Lane(Protocol):
    """Runs expensive work one job at a time; ``sidecar.transport.lane`` implements it."""

    def free(self) -> bool:
        """Return whether a job may run now, and if so claim this turn."""

    def later(self, function: Callable[[], T]) -> Awaitable[T]:
        """Queue a job and return its result."""


class VerifierPool(Protocol):
    """Runs slow work off the event loop; ``sidecar.module_signing.digest_pool`` implements it."""

    async def run(self, function: Callable[[], T]) -> T:
        """Return the function's result; raise ``Denied`` where the queue is full."""
