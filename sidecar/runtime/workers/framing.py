"""How frames are cut out of the channel between the main process and a worker.

A frame is four bytes of length, big-endian, and a msgpack map that names its kind.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from sidecar.common.errors import Fault

MAX_TO_WORKER_BYTES = 67_108_864
"""The largest configurations and revocation lists are eight megabytes at their source."""
MAX_FROM_WORKER_BYTES = 1_048_576
_LENGTH_BYTES = 4

_encoder = msgspec.msgpack.Encoder()


class FrameFault(Fault):
    """The other end violates the protocol."""


class Frame(msgspec.Struct, frozen=True, tag_field="frame"):
    """The base of every frame."""


def encode(frame: Frame) -> bytes:
    """Return one frame, with its length before it."""
    body = _encoder.encode(frame)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class FrameReader:
    """Splits a stream into frames of ``kind``; raises ``FrameFault`` for any other bytes."""

    def __init__(self, kind: Any, max_bytes: int) -> None:
        self._decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(kind).decode
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Take received bytes and yield the complete frames."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if length > self._max_bytes:
                raise FrameFault(f"a frame has {length} bytes, the limit is {self._max_bytes}")
            end = _LENGTH_BYTES + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH_BYTES:end])
            del self._buffer[:end]
            try:
                yield self._decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                raise FrameFault(f"a frame can't be decoded: {exc}") from None
