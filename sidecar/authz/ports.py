"""What the service needs from around it to give expensive work its turns."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Lane(Protocol):
    """Gives expensive work its turns; ``sidecar.transport.lane`` does."""

    def free(self) -> bool:
        """Take this turn, if nobody has."""

    def later(self, function: Callable[[], T]) -> Awaitable[T]:
        """Run it when its turn comes."""


class VerifierPool(Protocol):
    """Runs what is slow off the event loop; ``sidecar.module_signing.digest_pool`` does."""

    async def run(self, function: Callable[[], T]) -> T:
        """Run it; raises ``Denied`` where too much is waiting."""
