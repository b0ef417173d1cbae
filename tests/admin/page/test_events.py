"""Events: sent when something changes, few streams, a heartbeat, and an end with the drain."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from sidecar.admin.page.collect import Overview
from sidecar.admin.page.events import PageEvents, fingerprint
from sidecar.admin.page.status import status_of
from sidecar.observability.panel import At, Panel
from sidecar.transport.http1_messages import Request

GET = Request("GET", "/page/events", "", b"")


def overview(summary: str = "fine", at: float = 0.0, shown: float = 3.0) -> Overview:
    panels = (("vault", Panel(summary, facts=(("since", At(shown)),))),)
    return Overview(at, status_of({}, {}, 0.0, panels), panels)


class World:
    """Events over what is shown; ``shown`` may be set."""

    def __init__(self) -> None:
        self.shown = overview()
        self.looks = 0
        self.stop = asyncio.Event()
        self.events = PageEvents(
            self._look, self.stop, max_streams=2, look_seconds=0.01, heartbeat_seconds=0.03
        )

    async def _look(self) -> Overview:
        self.looks += 1
        return self.shown

    def stream(self) -> AsyncIterator[bytes]:
        answer = self.events.answer(GET)
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        assert answer.stream is not None
        return answer.stream()


async def first(stream: AsyncIterator[bytes], *, beats: bool = False) -> bytes:
    """Return the next piece that is no heartbeat, or the next of all."""
    async with asyncio.timeout(5):
        async for piece in stream:
            if beats or not piece.startswith(b":"):
                return piece
    raise AssertionError("it has ended")


async def test_a_change_is_one_event_and_silence_a_heartbeat() -> None:
    world = World()
    stream = world.stream()
    assert (await first(stream)).startswith(b"retry: ")
    told = await first(stream)
    assert told.startswith(b"event: state\ndata: ")
    assert json.loads(told.partition(b"data: ")[2]) == {
        "ready": True, "headline": "Ready", "findings": 0,
    }  # fmt: skip
    assert (await first(stream, beats=True)).startswith(b":")
    world.shown = overview("another")
    assert (await first(stream)).startswith(b"event: state")


async def test_no_more_than_a_few_and_a_place_is_free_again() -> None:
    world = World()
    streams = [world.stream() for _ in range(2)]
    for each in streams:
        await first(each)
    answer = world.events.answer(GET)
    assert (answer.status, dict(answer.headers)["retry-after"]) == (503, "10")
    await streams[0].aclose()  # type: ignore[attr-defined]
    assert world.events.open == 1
    await first(world.stream())


async def test_those_that_were_answered_at_the_same_time_are_bounded_too() -> None:
    world = World()
    streams = [world.stream() for _ in range(3)]
    for each in streams[:2]:
        await first(each)
    with pytest.raises(AssertionError, match="ended"):
        await first(streams[2])
    assert world.events.open == 2


async def test_the_drain_ends_every_stream_and_begins_none() -> None:
    world = World()
    stream = world.stream()
    await first(stream)
    await first(stream)
    world.stop.set()
    assert (await first(stream)).startswith(b"event: end")
    with pytest.raises(AssertionError, match="ended"):
        await first(stream)
    assert world.events.open == 0
    assert world.events.answer(GET).status == 503


async def test_nobody_looks_while_no_page_is_open() -> None:
    world = World()
    stream = world.stream()
    assert world.looks == 0, "an answer is no stream yet"
    await first(stream)
    await first(stream)
    assert (world.looks, world.events.open) == (1, 1)
    await stream.aclose()  # type: ignore[attr-defined]
    assert world.events.open == 0


def test_the_time_of_a_look_is_no_change() -> None:
    assert fingerprint(overview(at=1.0)) == fingerprint(overview(at=2.0))
    assert fingerprint(overview(shown=3.2)) == fingerprint(overview(shown=3.4))
    assert fingerprint(overview()) != fingerprint(overview("other"))
    assert fingerprint(overview("\ud800"))
