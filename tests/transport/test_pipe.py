"""Two joined connections: order, back-pressure, half-closes and the end."""

import asyncio
from typing import Any

import pytest

from sidecar.transport.pipe import SocketPipe
from tests.support.waiting import until


class PipedTransport(asyncio.Transport):
    """Keeps what is done with it; one of TLS has no half-close."""

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__()
        self._tls = tls
        self.done: list[object] = []
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")

    def write(self, data: Any) -> None:
        self.done.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.done += [bytes(each) for each in list_of_data]

    def can_write_eof(self) -> bool:
        return not self._tls

    def write_eof(self) -> None:
        self.done.append("eof")

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")


def piped() -> tuple[SocketPipe, list[SocketPipe]]:
    ended: list[SocketPipe] = []
    return SocketPipe(ended.append), ended


async def test_bytes_for_a_side_that_is_not_connected_yet_wait_for_it() -> None:
    pipe, ended = piped()
    early, late = PipedTransport(), PipedTransport()
    one, other = pipe.sides
    one.connection_made(early)
    one.data_received(b"a")
    one.data_received(b"b")
    other.pause_writing()
    one.eof_received()
    other.connection_made(late)
    assert late.done == [b"a", b"b", "eof"]
    assert early.done == ["pause"]
    assert not ended


async def test_tls_has_no_half_close_so_one_ends_both() -> None:
    """The event loops refuse write_eof there, and warn of an EOF that is said to be handled."""
    pipe, _ = piped()
    one, other = PipedTransport(tls=True), PipedTransport()
    pipe.sides[0].connection_made(one)
    pipe.sides[1].connection_made(other)
    assert pipe.sides[0].eof_received() is False
    assert (one.done, other.done) == ([], ["eof"])
    pipe.sides[0].write_eof()
    assert one.done == ["close"]


async def test_a_side_is_not_read_while_the_other_accepts_no_bytes() -> None:
    pipe, _ = piped()
    transports = [PipedTransport(), PipedTransport()]
    pipe.sides[1].pause_writing()
    for side, transport in zip(pipe.sides, transports, strict=True):
        side.connection_made(transport)
    assert transports[0].done == ["pause"]
    pipe.sides[1].resume_writing()
    assert (transports[0].done, transports[1].done) == (["pause", "resume"], [])
    transports[0].closing = True
    pipe.sides[1].pause_writing()
    pipe.sides[1].data_received(b"late")
    pipe.sides[1].connection_lost(None)
    assert transports[0].done.pop() == "close"
    assert transports[0].done == ["pause", "resume"], "nothing is done with what is closing"


async def test_it_ends_when_the_inner_server_closes_and_when_a_side_is_lost() -> None:
    pipe, ended = piped()
    transports = [PipedTransport(), PipedTransport()]
    for side, transport in zip(pipe.sides, transports, strict=True):
        side.connection_made(transport)
    assert pipe.sides[0].eof_received(), "the other direction stays open"
    assert (transports[1].done, ended) == (["eof"], [])
    assert pipe.sides[1].eof_received()
    assert [each.done[-1] for each in transports] == ["close", "close"]
    pipe.sides[0].connection_lost(None)
    assert ended == [], "the other still takes a descriptor"
    pipe.sides[1].connection_lost(None)
    assert ended == [pipe]
    lost, gone = piped()
    kept = PipedTransport()
    lost.sides[1].connection_made(kept)
    lost.sides[0].connection_lost(None)
    assert (kept.done, gone) == (["close"], [])
    lost.sides[1].connection_lost(None)
    assert gone == [lost]


async def test_a_side_that_connects_after_the_end_is_closed() -> None:
    pipe, _ = piped()
    pipe.end()
    late = PipedTransport()
    pipe.sides[0].connection_made(late)
    assert late.done[-1] == "close"


async def test_a_side_that_accepts_nothing_for_long_ends_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sidecar.transport.pipe.STALL_SECONDS", 0.0)
    pipe, _ = piped()
    transports = [PipedTransport(), PipedTransport()]
    for side, transport in zip(pipe.sides, transports, strict=True):
        side.connection_made(transport)
    pipe.sides[1].pause_writing()
    pipe.sides[1].resume_writing()
    await asyncio.sleep(0)
    assert [each.done for each in transports] == [["pause", "resume"], []], "it accepts again"
    pipe.sides[1].pause_writing()
    await until(lambda: all(each.done[-1:] == ["abort"] for each in transports))
