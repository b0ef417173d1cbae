"""The leases of one sidecar, and the rings behind them.

A module that had a lease of another sidecar hands over its ring. It gets its new lease once that
ring's lines are in our audit sink: until then the module keeps the ring, so that no line is lost
whoever is killed. A ring whose module has gone is read to its end and then let go.
"""

import logging
import secrets
from collections.abc import Callable, Container, Iterator, Sequence
from typing import NamedTuple, Protocol

from sidecar.decision_cache.credits import CreditPolicy, grant_all
from sidecar.decision_cache.lease_server import Hello, Lease
from sidecar.decision_cache.memory import MemoryFault, SharedMemory, make_ring, take_ring
from sidecar.decision_cache.protocol import COUNTS, RING_ID, ModuleCount
from sidecar.decision_cache.ring import LineSink, Ring, RingFault
from sidecar.observability.audit.entry import AuditLine

_GAUGES = (ModuleCount.ENTRIES, ModuleCount.BYTES)
_log = logging.getLogger("sidecar.decision_cache")


class LeaseGrants(Protocol):
    """Sends and ends leases; ``lease_server.LeaseServer`` is one."""

    def welcome(self, lease: Lease, descriptors: tuple[int, int, int]) -> None:
        """Grant a lease."""

    def end(self, lease: Lease) -> None:
        """Hang up."""


class Memories(NamedTuple):
    """What every lease of this sidecar has in common."""

    control: SharedMemory
    credit: SharedMemory
    ring_bytes: int


class LeaseView(NamedTuple):
    """One lease, for the operator."""

    pid: int
    uid: int
    version: str
    ring: str
    fill: float
    repeated: int
    entries: int
    bytes: int


class _Held(NamedTuple):
    """A granted lease's ring, and its memory's descriptor."""

    ring: Ring
    descriptor: int


class LeaseTable:
    """Who holds a lease, and every ring that is not read to its end.

    ``server`` is set before the first hello. ``on_held`` is called when the first lease is
    granted and when the last one has ended.
    """

    server: LeaseGrants

    def __init__(
        self,
        memories: Memories,
        policy: CreditPolicy,
        sink: LineSink,
        routes: Container[str],
        *,
        on_lines: Callable[[Sequence[AuditLine]], None],
        on_held: Callable[[bool], None],
    ) -> None:
        self.ring_faults = 0
        self._memories = memories
        self._policy = policy
        self._sink = sink
        self._routes = routes
        self._on_lines = on_lines
        self._on_held = on_held
        self._held: dict[Lease, _Held] = {}
        self._handed_over: dict[Lease, Ring] = {}
        """Rings of predecessors; the lease is granted when its ring is empty."""
        self._ending: list[Ring] = []
        self._past = [0] * COUNTS

    def greeted(self, lease: Lease, hello: Hello) -> None:
        """Grant a lease, or first take over the ring of its module. Raises ``Fault``."""
        if hello.old_ring is None:
            self._grant(lease)
            return
        memory, ring_id = take_ring(hello.old_ring)
        self._handed_over[lease] = self._ring(memory, ring_id)

    def ended(self, lease: Lease) -> None:
        """Have the ring of a lease that has ended read to its end."""
        held = self._held.pop(lease, None)
        if held is not None:
            self._keep_counts(held.ring)
            self._ending.append(held.ring)
            if not self._held:
                self._on_held(False)
        elif (ring := self._handed_over.pop(lease, None)) is not None:
            ring.close()  # the module keeps it, and will hand it over again

    def drain(self) -> bool:
        """Read one slice of every ring; return whether there is more to read at once."""
        busy = False
        for lease, held in tuple(self._held.items()):
            more = self._drain(held.ring)
            if more is None:
                self.server.end(lease)
            busy |= bool(more)
        for lease, ring in tuple(self._handed_over.items()):
            more = self._drain(ring)
            busy |= bool(more)
            if more is None or (not more and ring.is_empty):
                del self._handed_over[lease]
                ring.close()
                self._grant_or_end(lease)
        for ring in tuple(self._ending):
            more = self._drain(ring)
            busy |= bool(more)
            if more is None or (not more and ring.is_empty):
                self._ending.remove(ring)
                ring.close()
        return busy

    def grant_credits(self) -> None:
        """Grant what the limits say, and take back what a limit no longer grants."""
        grant_all(self._memories.credit, self._policy)

    @property
    def held(self) -> int:
        """How many leases are held."""
        return len(self._held)

    @property
    def is_settled(self) -> bool:
        """Whether every ring whose module has gone is read to its end."""
        return not self._ending and not self._handed_over

    @property
    def fullest(self) -> float:
        """The fill of the fullest ring, from 0 to 1."""
        return max((held.ring.fill for held in self._held.values()), default=0.0)

    def counts(self) -> list[int]:
        """Return the sums of what modules have counted (``protocol.ModuleCount``)."""
        sums = self._past.copy()
        for held in self._held.values():
            for number, count in enumerate(held.ring.counts):
                sums[number] += count
        return sums

    def views(self) -> Iterator[LeaseView]:
        """Yield every lease that is held."""
        for lease, held in self._held.items():
            counts, hello = held.ring.counts, lease.hello
            yield LeaseView(
                lease.peer.pid,
                lease.peer.uid,
                hello.version if hello is not None else "",
                held.ring.ring_id,
                round(held.ring.fill, 3),
                counts[ModuleCount.REPEATED],
                counts[ModuleCount.ENTRIES],
                counts[ModuleCount.BYTES],
            )

    def close(self) -> None:
        """Let go of every ring. What is in one stays with its module."""
        for ring in (*self._ending, *self._handed_over.values()):
            ring.close()
        for held in self._held.values():
            held.ring.close()
        self._ending.clear()
        self._handed_over.clear()
        self._held.clear()

    def _grant(self, lease: Lease) -> None:
        ring_id = secrets.token_hex(RING_ID // 2).encode("ascii")
        memories = self._memories
        memory = make_ring(ring_id, memories.ring_bytes)
        self._held[lease] = _Held(self._ring(memory, ring_id), memory.descriptor)
        if len(self._held) == 1:
            self._on_held(True)
        descriptors = memories.control.descriptor, memories.credit.descriptor, memory.descriptor
        self.server.welcome(lease, descriptors)

    def _grant_or_end(self, lease: Lease) -> None:
        try:
            self._grant(lease)
        except MemoryFault as fault:
            _log.error("no lease: %s", fault)
            self.server.end(lease)

    def _ring(self, memory: SharedMemory, ring_id: bytes) -> Ring:
        return Ring(memory, ring_id, self._sink, self._routes, self._on_lines)

    def _drain(self, ring: Ring) -> bool | None:
        """Read one slice; ``None`` for a ring that holds what no module writes."""
        try:
            return ring.drain()
        except RingFault as fault:
            self.ring_faults += 1
            _log.error("%s: its lease ends, and what is left in it is not recorded", fault)
            return None

    def _keep_counts(self, ring: Ring) -> None:
        for number, count in enumerate(ring.counts):
            if number not in _GAUGES:
                self._past[number] += count
