"""Two connections of the event loop, joined: the bytes of each are sent on the other.

What waits to be sent is bounded, because a side is not read while the other accepts no bytes. A
peer that reads nothing is disconnected after a time, so that it can't keep its slot.
"""

import asyncio
from collections.abc import Callable
from typing import cast

STALL_SECONDS = 60.0
"""A side that accepts none of the waiting bytes for this long is disconnected."""
LINGER_SECONDS = 5.0
"""At the end of a connection, the time for the buffered bytes to be sent."""


class SocketPipe:
    """Two connections, each of which gets the bytes of the other.

    ``on_end`` is called when both are closed: until then they take descriptors, and count.
    """

    def __init__(self, on_end: Callable[["SocketPipe"], None]) -> None:
        self._on_end = on_end
        self._timer: asyncio.TimerHandle | None = None
        self.sides = (PipeSide(self), PipeSide(self))
        self.sides[0].other, self.sides[1].other = self.sides[1], self.sides[0]

    def side_half_closed(self) -> None:
        """End the pipe if the inner server sends no more.

        It has closed then, which looks like a half-close: a peer that stays connected would keep
        its slot. A peer that has half-closed is still answered.
        """
        if self.sides[1].half_closed:
            self.end()

    def end(self) -> None:
        """Close both once the buffered bytes are sent, or after ``LINGER_SECONDS``."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self.abort)
        for side in self.sides:
            side.close()
        if all(side.is_gone for side in self.sides):
            self._timer.cancel()
            self._on_end(self)

    def abort(self) -> None:
        """Close both now; buffered bytes are lost."""
        for side in self.sides:
            side.abort()


class PipeSide(asyncio.Protocol):
    """One end of a pipe. While it does not accept bytes, the other end is not read."""

    def __init__(self, pipe: SocketPipe) -> None:
        self._pipe = pipe
        self._early: list[bytes] = []
        self._paused = False
        self._closed = False
        self._transport: asyncio.Transport | None = None
        self._stall: asyncio.TimerHandle | None = None
        self.is_gone = True
        """Whether there is no connection on this side: not yet, or not any more."""
        self.half_closed = False
        self.other = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what arrived for this side before it was connected."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_gone = False
        self._transport.writelines(self._early)
        self._early.clear()
        if self._paused:
            self._transport.pause_reading()
        if self.other.half_closed:
            self.write_eof()
        if self._closed:
            self._transport.close()

    def eof_received(self) -> bool:
        """Pass the half-close on; TLS knows none, and there it ends the connection."""
        self.half_closed = True
        self.other.write_eof()
        self._pipe.side_half_closed()
        return self._transport is not None and self._transport.can_write_eof()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Close the other side too."""
        self.is_gone = True
        self._forget_stall()
        self._pipe.end()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        self.other.write(data)

    def pause_writing(self) -> None:
        """Read no more from the other side, and wait ``STALL_SECONDS`` at most."""
        self._stall = asyncio.get_running_loop().call_later(STALL_SECONDS, self._pipe.abort)
        self.other.pause(paused=True)

    def resume_writing(self) -> None:
        """Read from the other side again."""
        self._forget_stall()
        self.other.pause(paused=False)

    def _forget_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def write(self, data: bytes) -> None:
        """Send bytes of the other side."""
        if self._transport is None:
            self._early.append(data)
        elif not self._transport.is_closing():
            self._transport.write(data)

    def write_eof(self) -> None:
        """Signal that the other side sends no more."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()  # TLS: there is no half-close

    def pause(self, *, paused: bool) -> None:
        """Pause or resume reading."""
        self._paused = paused
        if self._transport is not None and not self._transport.is_closing():
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    def close(self) -> None:
        """Close after the buffered bytes are sent."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now; buffered bytes are lost."""
        if self._transport is not None:
            self._transport.abort()
