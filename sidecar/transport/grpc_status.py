"""The status of a gRPC call, and the exception with which a handler sets it."""

from enum import IntEnum


class GrpcStatus(IntEnum):
    """The canonical codes used here (grpc/doc/statuscodes.md)."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class RpcError(Exception):
    """Raised by a handler to answer with a status of its own."""

    def __init__(self, status: GrpcStatus, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
