"""Server-sent events: that something has changed, for pages that are open (HTML, §9.2).

Few streams, a heartbeat, and an end with the drain. All streams share one look at the panels, which
is taken only while there is a stream.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable

from sidecar.admin.page.collect import Overview
from sidecar.admin.page.document import status_document
from sidecar.transport.http1_messages import Request, Response, problem

MAX_STREAMS = 8
LOOK_SECONDS = 2.0
HEARTBEAT_SECONDS = 10.0
_RETRY_MILLISECONDS = 3000
_BEGIN = f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
_HEARTBEAT = b": still here\n\n"
_END = b"event: end\ndata: the sidecar ends\n\n"


class PageEvents:
    """The open streams. ``look`` returns what is shown now; ``stop`` is set by the drain."""

    def __init__(
        self,
        look: Callable[[], Awaitable[Overview]],
        stop: asyncio.Event,
        *,
        max_streams: int = MAX_STREAMS,
        look_seconds: float = LOOK_SECONDS,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._look = look
        self._stop = stop
        self._max_streams = max_streams
        self._look_seconds = look_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self.open = 0

    def answer(self, _request: Request) -> Response:
        """Answer with a stream; 503 where there are too many, or the sidecar ends."""
        if self._stop.is_set() or self.open >= self._max_streams:
            busy = problem(503, "too many pages are open, or the sidecar ends; try again")
            return busy._replace(headers=(("retry-after", "10"),))
        return Response(200, b"", "text/event-stream", stream=self._events)

    async def _events(self) -> AsyncGenerator[bytes, None]:
        if self.open >= self._max_streams:  # others have begun since it was answered
            return
        self.open += 1
        try:
            yield _BEGIN
            async for piece in self._changes():
                yield piece
        finally:
            self.open -= 1

    async def _changes(self) -> AsyncGenerator[bytes, None]:
        seen, silent_seconds = "", 0.0
        while not self._stop.is_set():
            overview = await self._look()
            now = fingerprint(overview)
            if now != seen:
                seen, silent_seconds = now, 0.0
                yield _state(overview)
            elif silent_seconds >= self._heartbeat_seconds:
                silent_seconds = 0.0
                yield _HEARTBEAT
            await self._pause()
            silent_seconds += self._look_seconds
        yield _END

    async def _pause(self) -> None:
        waiting = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait([waiting], timeout=self._look_seconds)
        finally:
            waiting.cancel()


def fingerprint(overview: Overview) -> str:
    """Return a digest that differs where anything that is shown differs, but the ages."""
    document = json.dumps(status_document(overview.status, overview.panels), default=str)
    return hashlib.sha256(document.encode("utf-8", "surrogatepass")).hexdigest()


def _state(overview: Overview) -> bytes:
    status = overview.status
    data = {"ready": status.ready, "headline": status.headline, "findings": len(status.findings)}
    return f"event: state\ndata: {json.dumps(data)}\n\n".encode()
