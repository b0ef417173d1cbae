"""Both ends of a channel over a real socket pair, and its end for each reason."""

import asyncio
import socket
from typing import Any

import pytest

from sidecar.runtime.workers.channel import Channel, open_channel
from sidecar.runtime.workers.frames import Drain, Readiness, StatsRequest, ToWorker
from sidecar.runtime.workers.framing import FrameFault, FrameReader, encode
from tests.support.waiting import until


class End:
    """One end: what arrived, and how it closed."""

    def __init__(self, refused: type | None = None) -> None:
        self.frames: list[Any] = []
        self.counts: list[int] = []
        self.closed: list[Exception | None] = []
        self._refused = refused
        self.channel = Channel(
            FrameReader(ToWorker, 1000), self.take, self.closed.append, self.counts.append
        )

    def take(self, frame: Any) -> None:
        if self._refused is type(frame):
            raise LookupError("a defect")
        self.frames.append(frame)


async def joined(refused: type | None = None) -> tuple[End, End]:
    ends = End(), End(refused)
    for end, each in zip(ends, socket.socketpair(), strict=True):
        await open_channel(each, end.channel)
    return ends


async def test_frames_arrive_in_order_and_are_counted_first() -> None:
    one, other = await joined()
    one.channel.send(Readiness(ready=True))
    one.channel.send_encoded(encode(StatsRequest(7)))
    one.channel.close()
    await until(lambda: other.closed)
    assert other.frames == [Readiness(ready=True), StatsRequest(7)]
    assert sum(other.counts) == len(encode(Readiness(ready=True)) + encode(StatsRequest(7)))
    assert one.closed == other.closed == [None]
    other.channel.send(Drain())
    assert other.channel.unsent_bytes == 0, "nothing is sent on a closed channel"


@pytest.mark.parametrize(
    ("refused", "raw", "fault"),
    [
        (None, b"\xff\xff\xff\xff", FrameFault),
        (StatsRequest, encode(StatsRequest(1)), LookupError),
    ],
    ids=["no frame", "a frame that can't be used"],
)
async def test_a_fault_closes_it_and_delivers_nothing_more(
    refused: type | None, raw: bytes, fault: type[Exception]
) -> None:
    one, other = await joined(refused)
    one.channel.send_encoded(raw + encode(Drain()))
    await until(lambda: other.closed)
    assert [type(each) for each in other.closed] == [fault]
    assert other.frames == []
    other.channel.data_received(encode(Drain()))
    assert other.frames == []
    one.channel.close()
    await until(lambda: one.closed)


async def test_before_it_is_connected_nothing_is_sent() -> None:
    end = End()
    end.channel.send(Drain())
    end.channel.close()
    end.channel.abort()
    assert end.channel.unsent_bytes == 0


async def test_what_the_other_end_does_not_read_is_counted() -> None:
    one, reader = socket.socketpair()
    end = End()
    await open_channel(one, end.channel)
    piece = encode(StatsRequest(1)) * 100_000
    while not end.channel.unsent_bytes:
        end.channel.send_encoded(piece)
    end.channel.abort()
    await until(lambda: end.closed)
    await asyncio.sleep(0)
    reader.close()
