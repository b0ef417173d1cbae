"""The channel between the main process and a worker: a socket pair, one end each.

The worker has it as standard input. When one process ends, for any reason, the other one sees
the channel close.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, cast

from sidecar.runtime.workers.framing import Frame, FrameReader, encode

_STDIN = 0


class Channel(asyncio.Protocol):
    """Sends frames and delivers those that arrive.

    ``on_frame`` gets them one by one. ``on_closed`` is called once: with ``None`` when the
    other end is closed, with the exception when the other end violates the protocol or one of
    its frames can't be used (a ``Fault``, or the exception that ``on_frame`` raised).
    ``on_bytes`` gets the number of bytes that arrived, before they are parsed; it may raise a
    ``Fault`` too.
    """

    def __init__(
        self,
        reader: FrameReader,
        on_frame: Callable[[Any], None],
        on_closed: Callable[[Exception | None], None],
        on_bytes: Callable[[int], None] = lambda _count: None,
    ) -> None:
        self._on_bytes = on_bytes
        self._reader = reader
        self._on_frame = on_frame
        self._on_closed = on_closed
        self._transport: asyncio.Transport | None = None
        self._fault: Exception | None = None

    @property
    def unsent_bytes(self) -> int:
        """How many bytes the other end has not read yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def send(self, frame: Frame) -> None:
        """Send one frame, unless the channel is closed."""
        self.send_encoded(encode(frame))

    def send_encoded(self, raw: bytes) -> None:
        """Send a frame that is already encoded."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(raw)

    def close(self) -> None:
        """Send the remaining bytes, then close."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once; nothing more is sent or delivered."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport (asyncio)."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes (asyncio)."""
        if self._fault is not None:
            return  # it is being closed
        try:
            self._on_bytes(len(data))
            for frame in self._reader.feed(data):
                self._on_frame(frame)
        except Exception as exc:  # noqa: BLE001 - the channel's edge: it is closed
            self._fault = exc
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end (asyncio)."""
        self._on_closed(self._fault or exc)


async def open_channel(end: socket.socket, channel: Channel) -> None:
    """Run a channel over one end of a socket pair."""
    loop = asyncio.get_running_loop()
    end.setblocking(False)
    await loop.create_unix_connection(lambda: channel, sock=end)


def inherited_end() -> socket.socket | None:
    """Return a worker's end: standard input, if it is a socket.

    Standard input is replaced, so that nothing else reads it.
    """
    try:
        end = socket.socket(fileno=os.dup(_STDIN))
    except OSError:
        return None
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, _STDIN)
    os.close(nothing)
    return end if end.family == socket.AF_UNIX else None
