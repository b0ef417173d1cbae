"""Rings of leases: of those that are held, that have ended, and that a predecessor left."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.decision_cache.protocol import ModuleCount
from tests.decision_cache.served import Served, received
from tests.support.module_peer import Peer, PeerRing, sealed
from tests.support.waiting import until


@pytest.fixture
async def served(tmp_path: Path) -> Iterator[Served]:  # type: ignore[misc]
    running = Served(tmp_path)
    yield running
    running.close()


async def test_every_ring_is_read(served: Served) -> None:
    rings = [(await served.lease())[1].ring for _ in range(3)]
    lines = [ring.line() for ring in rings for _ in range(2)]
    for ring in rings:
        ring.write(lines[2 * rings.index(ring)] + lines[2 * rings.index(ring) + 1])
    served.drain()
    assert sorted(served.sink.lines) == sorted(lines)
    assert len(served.counted) == 6


async def test_a_ring_is_read_to_its_end_when_its_module_has_gone(served: Served) -> None:
    peer, welcome = await served.lease()
    lines = [welcome.ring.line() for _ in range(3)]
    welcome.ring.write(b"".join(lines))
    peer.close()
    await until(lambda: served.leases.held == 0)
    assert not served.leases.is_settled
    served.drain()
    assert served.sink.lines == lines
    assert served.leases.is_settled


async def test_a_ring_that_lies_loses_its_lease_and_no_other(served: Served) -> None:
    liar, good = await served.lease(), await served.lease()
    liar[1].ring.write(b"not a line\n")
    good[1].ring.write(good[1].ring.line())
    served.leases.drain()
    served.drain()
    assert await received(liar[0]) is None
    assert (served.leases.held, served.leases.ring_faults) == (1, 1)
    assert len(served.sink.lines) == 1
    assert served.leases.is_settled


def left_behind(lines: int) -> tuple[int, PeerRing, list[bytes]]:
    """Return a ring as the module of a killed sidecar has it, with lines that it did not read."""
    descriptor = sealed(65_536)
    ring = PeerRing(descriptor)
    written = [ring.line() for _ in range(lines)]
    ring.write(b"".join(written))
    return descriptor, ring, written


async def handing_over(served: Served, descriptor: int) -> Peer:
    peer = served.peer()
    peer.say(old=descriptor)
    await until(lambda: not served.leases.is_settled)
    return peer


async def test_a_predecessors_lines_are_recorded_before_the_lease(served: Served) -> None:
    descriptor, ring, lines = left_behind(3)
    peer = await handing_over(served, descriptor)
    served.leases.drain()
    assert (served.leases.held, ring.tail) == (0, 0), "they are queued, and not yet written"
    served.sink.write()
    served.leases.drain()
    assert ring.tail == ring.head
    welcome = await received(peer)
    assert welcome is not None
    assert served.sink.lines == lines
    assert welcome.ring.ring_id != ring.ring_id


async def test_a_sidecar_that_is_killed_meanwhile_has_taken_nothing(served: Served) -> None:
    descriptor, ring, lines = left_behind(2)
    peer = await handing_over(served, descriptor)
    served.leases.drain()
    peer.close()
    await until(lambda: served.leases.is_settled)
    assert ring.tail == 0
    peer = await handing_over(served, descriptor)
    served.drain()
    assert await received(peer) is not None
    assert served.sink.lines == lines * 2, "twice is better than never; the id is the same"


async def test_a_predecessors_ring_that_lies_is_let_go(served: Served) -> None:
    descriptor, ring, _ = left_behind(0)
    ring.write(b"not a line\n")
    peer = await handing_over(served, descriptor)
    served.drain()
    assert await received(peer) is not None
    assert served.sink.lines == []


@pytest.mark.parametrize("seals", [0, 1 | 4])
async def test_a_predecessors_ring_that_is_none_gets_no_lease(served: Served, seals: int) -> None:
    descriptor = sealed(65_536, seals=seals)
    peer = served.peer()
    peer.say(old=descriptor)
    assert await received(peer) is None
    os.ftruncate(descriptor, 0)


async def test_counts_are_summed_and_stay_when_a_lease_ends(served: Served) -> None:
    (gone, one), (_, two) = await served.lease(), await served.lease()
    for ring, repeated in ((one.ring, 3), (two.ring, 4)):
        ring.count(ModuleCount.REPEATED, repeated)
        ring.count(ModuleCount.ENTRIES, 10)
        ring.count(ModuleCount.ASKED_MISS, 1)
    gone.close()
    await until(lambda: served.leases.held == 1)
    counts = served.leases.counts()
    assert [counts[each] for each in (0, 11, 12, 24)] == [7, 0, 2, 10]
    (view,) = served.leases.views()
    assert (view.pid, view.version, view.repeated) == (os.getpid(), "0.1.0", 4)


async def test_the_fullest_ring_is_shown(served: Served) -> None:
    assert served.leases.fullest == 0.0
    (_, one), _ = await served.lease(), await served.lease()
    while one.ring.head < 60_000:
        one.ring.write(one.ring.line(detail="x" * 500))
    assert served.leases.fullest > 0.9
