"""Reads what came back: of a plain answer, a stream of events, a websocket."""

import asyncio
import json
from typing import Any

from bench.soak.application import EVENTS, frame, read_frame
from bench.soak.asks import Ask
from bench.soak.connections import ANSWER_SECONDS, Http1, Lost, Reply
from bench.soak.oracle import Answer


def read_answer(reply: Reply, told: Any) -> tuple[Answer, str]:
    """Return what a reply says, and the decision that it names."""
    document = reply.document()
    if told is None:
        told = document.get("told")
    reason = "" if told is not None else document.get("reason") or document.get("title", "")
    decision_id = str(document.get("instance", "")).rpartition(":")[2]
    return Answer(reply.status, reason, reply.headers, told), decision_id


def read_events(reply: Reply) -> tuple[Reply, Any]:
    """Return the reply of a stream and what its events say; ``Lost`` if one is missing."""
    if reply.status != 200:
        return reply, None
    events = reply.body.split(b"\n\n")[:-1]
    if len(events) != EVENTS:
        raise Lost(f"{len(events)} events of {EVENTS}")
    return reply, json.loads(events[-1].partition(b"data: ")[2])["told"]


async def talk(connection: Http1, ask: Ask) -> Any:
    """Send frames over a websocket and see them come back; return what the application was told."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            first = await read_frame(connection.reader)
            for number in range(3):
                said = f"{ask.client}-{ask.number}-{number}".encode()
                connection.writer.write(_masked(said))
                if await read_frame(connection.reader) != said:
                    raise Lost("a frame came back as another")
                await asyncio.sleep(0.2)
    except (OSError, EOFError, TimeoutError) as exc:
        raise Lost(f"the websocket ended: {exc!r}") from exc
    return json.loads(first or b"{}").get("told")


def _masked(payload: bytes) -> bytes:
    """Return a client's frame, with a mask that changes nothing (RFC 6455 §5.3)."""
    plain = frame(payload)
    return plain[:1] + bytes((plain[1] | 0x80,)) + plain[2 : -len(payload)] + bytes(4) + payload
