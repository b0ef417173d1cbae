"""The frame around a gRPC message: a flag for compression and a length of four bytes."""

from sidecar.transport.grpc_status import GrpcStatus, RpcError

PREFIX_BYTES = 5


def read_message(data: bytes, max_message_bytes: int) -> bytes:
    """Return the only message of a whole request's body, without its prefix.

    Raises ``RpcError`` for what is not one uncompressed message of at most so many bytes.
    """
    if len(data) < PREFIX_BYTES:
        raise RpcError(GrpcStatus.INVALID_ARGUMENT, "the request has no whole message")
    length = int.from_bytes(data[1:PREFIX_BYTES], "big")
    if data[0]:
        raise RpcError(GrpcStatus.UNIMPLEMENTED, "compressed messages are not accepted")
    if length > max_message_bytes:
        raise RpcError(GrpcStatus.RESOURCE_EXHAUSTED, "the message is too large")
    if length != len(data) - PREFIX_BYTES:
        raise RpcError(GrpcStatus.INVALID_ARGUMENT, "the request is not one message")
    return data[PREFIX_BYTES:]
