"""What the limits component asks of a fleet's store; ``redis_store.FleetShares`` is one."""

from typing import Protocol

from sidecar.common.polling import PollStatus


class Store(Protocol):
    """Shares limits among the sidecars of a fleet."""

    status: PollStatus
    members: int
    """How many sidecars share, this one included."""

    @property
    def reachable(self) -> bool:
        """Whether the last exchange succeeded."""

    async def start(self) -> None:
        """Exchange once; a store that is away does not prevent the start."""

    async def check(self) -> None:
        """Reach the server, for a reload; nothing is exchanged. Raises ``Fault``."""

    async def run(self) -> None:
        """Exchange every period, until cancelled."""
