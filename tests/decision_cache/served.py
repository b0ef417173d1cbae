"""A lease server with its leases, and the ends of the modules that have one."""

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path

from sidecar.decision_cache.control import make_control
from sidecar.decision_cache.credits import CreditPolicy, WithoutLimits
from sidecar.decision_cache.lease_server import Admission, LeaseServer
from sidecar.decision_cache.leases import LeaseTable, Memories
from sidecar.decision_cache.memory import make_memory
from sidecar.decision_cache.protocol import credit_bytes
from sidecar.observability.audit.entry import AuditLine
from sidecar.transport.peers import PeerRule, make_rule
from tests.decision_cache.test_ring import Sink
from tests.support.module_peer import Peer, Welcome


class Served:
    """Everything but the loop that drains: a test does that itself."""

    def __init__(
        self,
        folder: Path,
        *,
        rule: PeerRule | None = None,
        is_child: Callable[[int], bool] = lambda _pid: False,
        max_leases: int = 8,
        policy: CreditPolicy | None = None,
        mode: int = 0o660,
        sink: Sink | None = None,
    ) -> None:
        self.path = folder / "leases.sock"
        self.sink = sink or Sink()
        self.counted: list[AuditLine] = []
        self.held: list[bool] = []
        self.faults: list[Exception] = []
        self._peers: list[Peer] = []
        policy = policy or WithoutLimits()
        self.control = make_control(1, 500_000_000, policy.slots)
        credit = make_memory("credit", credit_bytes(policy.slots))
        self.leases = LeaseTable(
            Memories(self.control, credit, 65_536),
            policy,
            self.sink,
            {"api"},
            on_lines=self.counted.extend,
            on_held=self.held.append,
        )
        self.server = LeaseServer(
            self.path,
            mode,
            Admission(rule or make_rule((), ()), is_child, max_leases),
            greeted=self.leases.greeted,
            ended=self.leases.ended,
            on_fault=self.faults.append,
        )
        self.leases.server = self.server
        self.server.start()

    def peer(self) -> Peer:
        """Connect."""
        peer = Peer(self.path)
        self._peers.append(peer)
        return peer

    async def lease(self, old: int | None = None) -> tuple[Peer, Welcome]:
        """Connect, and get a lease."""
        peer = self.peer()
        peer.say(old=old)
        welcome = await received(peer)
        assert welcome is not None
        return peer, welcome

    def drain(self) -> None:
        """Read everything, with the sink writing at once."""
        while self.leases.drain():
            pass
        self.sink.write()
        while self.leases.drain():
            pass

    def close(self) -> None:
        """End it."""
        self.server.stop_listening()
        self.server.end_all()
        self.leases.close()
        for peer in self._peers:
            peer.close()
        assert self.faults == []


async def received(peer: Peer) -> Welcome | None:
    """Wait for a welcome, or for the end."""
    return await asyncio.to_thread(peer.receive)


def open_descriptors() -> int:
    """Count this process's open files."""
    gc.collect()  # what earlier tests left to it
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
