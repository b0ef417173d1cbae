"""The bounds of a gRPC connection, and of what all connections of a server hold together."""

RECEIVE_SECONDS = 30.0
"""A message that takes longer to arrive is given up: what is half-sent takes memory."""
MAX_BUFFERED_BYTES = 134_217_728
"""Of unfinished messages on all connections of a server: those of eight that fill their own."""


class Limits:
    """The bounds of one connection.

    ``receive_seconds`` is how long a request may take to arrive, independent of ``grpc-timeout``.
    """

    __slots__ = (
        "max_buffered_bytes", "max_concurrent_streams", "max_message_bytes", "receive_seconds",
    )  # fmt: skip

    def __init__(
        self,
        *,
        max_message_bytes: int = 4_194_304,
        max_concurrent_streams: int = 1024,
        max_buffered_bytes: int = 16_777_216,
        receive_seconds: float = RECEIVE_SECONDS,
    ) -> None:
        self.max_message_bytes = max_message_bytes
        self.max_concurrent_streams = max_concurrent_streams
        self.max_buffered_bytes = max(max_buffered_bytes, max_message_bytes)
        self.receive_seconds = receive_seconds


class BufferAccount:
    """What all connections of a server hold of unfinished messages, together."""

    __slots__ = ("held_bytes", "max_bytes")

    def __init__(self, max_bytes: int = MAX_BUFFERED_BYTES) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0

    @property
    def is_overdrawn(self) -> bool:
        """Whether it is more than they may."""
        return self.held_bytes > self.max_bytes
