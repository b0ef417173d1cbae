"""Who gets a lease: allowed users that say hello, and nobody's child, and not too many."""

import asyncio
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.decision_cache import lease_server
from sidecar.decision_cache.protocol import HELLO, HELLO_MAGIC, PROTOCOL, control_bytes
from sidecar.transport.peers import PeerRule
from sidecar.transport.sockets import ListenFault
from tests.decision_cache.served import Served, open_descriptors, received
from tests.support.module_peer import sealed
from tests.support.waiting import until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
async def served(folder: Path) -> Iterator[Served]:  # type: ignore[misc]
    running = Served(folder)
    yield running
    running.close()


async def test_a_lease_is_three_sealed_memories(served: Served) -> None:
    _, welcome = await served.lease()
    sizes = [os.fstat(each).st_size for each in (welcome.control, welcome.credit)]
    assert sizes == [control_bytes(1), 4096]
    assert (welcome.ring.bytes, len(welcome.ring.ring_id)) == (65_536, 12)
    assert os.fstat(welcome.control).st_ino == os.fstat(served.control.descriptor).st_ino


async def test_each_lease_has_a_ring_of_its_own(served: Served) -> None:
    leases = [await served.lease() for _ in range(3)]
    assert len({welcome.ring.ring_id for _, welcome in leases}) == 3
    assert served.leases.held == 3
    assert served.held == [True], "said once"


async def test_the_end_of_the_last_lease_is_said(served: Served) -> None:
    peers = [(await served.lease())[0] for _ in range(2)]
    for peer in peers:
        peer.close()
    await until(lambda: served.held == [True, False])
    assert served.leases.held == 0


async def test_the_socket_has_its_mode(folder: Path) -> None:
    for mode in (0o600, 0o660, 0o666):
        served = Served(folder, mode=mode)
        assert stat.S_IMODE(served.path.stat().st_mode) == mode
        served.close()


async def test_what_stands_at_its_path_is_left_unless_it_is_a_socket(folder: Path) -> None:
    (folder / "leases.sock").write_text("mine")
    with pytest.raises(ListenFault, match="cannot listen on"):
        Served(folder)
    assert (folder / "leases.sock").read_text() == "mine"


async def test_a_successors_socket_is_left_where_it_is(folder: Path) -> None:
    first, second = Served(folder), Served(folder)
    first.close()
    await second.lease()
    second.close()
    assert not second.path.exists()


@pytest.mark.parametrize("why", ["another user", "a child"])
async def test_who_may_not_is_turned_away(folder: Path, why: str) -> None:
    nobody = PeerRule(frozenset({4_000_000}), frozenset())
    served = (
        Served(folder, rule=nobody)
        if why == "another user"
        else Served(folder, is_child=lambda pid: pid == os.getpid())
    )
    peer = served.peer()
    assert await received(peer) is None
    assert (served.server.refused, served.leases.held) == (1, 0)
    served.close()


async def test_there_are_not_more_leases_than_configured(folder: Path) -> None:
    served = Served(folder, max_leases=2)
    (first, _), _ = await served.lease(), await served.lease()
    assert await received(served.peer()) is None
    first.close()
    await until(lambda: served.leases.held == 1)
    await served.lease()
    served.close()


HELLOS = {
    "too short": b"hello",
    "too long": bytes(HELLO.size + 1),
    "zeros": bytes(HELLO.size),
    "another version": HELLO.pack(HELLO_MAGIC, PROTOCOL + 1, 0, 1, 0, b"0.2.0", 0),
    "an old ring that is not there": HELLO.pack(HELLO_MAGIC, 1, 1, 1, 0, b"", 0),
}


@pytest.mark.parametrize("hello", HELLOS)
async def test_what_is_no_hello_gets_no_lease(served: Served, hello: str) -> None:
    peer = served.peer()
    peer.send(HELLOS[hello])
    assert await received(peer) is None
    assert served.server.refused == 1
    await served.lease()


async def test_descriptors_that_nobody_asked_for_are_closed(served: Served) -> None:
    before = open_descriptors()
    for _ in range(3):
        peer = served.peer()
        given = tuple(sealed(65_536) for _ in range(4))
        peer.send(HELLO.pack(HELLO_MAGIC, 1, 0, 1, 0, b"", 0), given)
        for each in given:
            os.close(each)
        assert await received(peer) is None
        peer.close()
    assert open_descriptors() == before


async def test_who_says_nothing_is_let_go(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_server, "HELLO_SECONDS", 0.05)
    assert await received(served.peer()) is None


async def test_whoever_goes_on_talking_loses_the_lease(served: Served) -> None:
    peer, _ = await served.lease()
    peer.send(b"more")
    assert await received(peer) is None
    assert served.leases.held == 0


async def test_many_that_come_and_go_leave_nothing(served: Served) -> None:
    await served.lease()
    before = open_descriptors()
    for _ in range(20):
        peer, welcome = await served.lease()
        peer.close()
        welcome.ring.close()
        os.close(welcome.control)
        os.close(welcome.credit)
        silent = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        silent.connect(str(served.path))
        silent.close()
        await until(lambda: served.leases.held == 1)
        served.drain()
    await asyncio.sleep(0)
    await until(lambda: open_descriptors() <= before)
