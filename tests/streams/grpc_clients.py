"""Clients of gRPC and gRPC-Web, and how their calls ended."""

import base64
import http.client
from contextlib import suppress
from typing import NamedTuple

import grpc

from tests.streams.edge import StreamsEdge


class Failure(NamedTuple):
    """A status of gRPC."""

    code: int
    message: str


def call(
    edge: StreamsEdge, method: str, *metadata: tuple[str, str], body: bytes = b"x"
) -> tuple[list[bytes], Failure]:
    """Call with Google's own client; returns the messages and how it ended."""
    received: list[bytes] = []
    with grpc.insecure_channel(f"127.0.0.1:{edge.ports.https}") as channel:
        stream = channel.unary_stream(method)(body, timeout=20, metadata=metadata)
        with suppress(grpc.RpcError):
            received.extend(stream)
        return received, Failure(stream.code().value[0], stream.details() or "")


def web(
    edge: StreamsEdge,
    path: str,
    content_type: str,
    *headers: tuple[str, str],
    body: bytes = b"\0\0\0\0\1x",
) -> tuple[int, str, Failure, bytes]:
    """Call as a gRPC-Web client does: the last frame of the body says how it ended."""
    connection = http.client.HTTPConnection("127.0.0.1", edge.ports.https, timeout=20)
    try:
        all_headers = {"host": "app.example", "content-type": content_type, **dict(headers)}
        connection.request("POST", path, body, all_headers)
        reply = connection.getresponse()
        body = reply.read()
    finally:
        connection.close()
    returned = reply.getheader("content-type", "")
    if returned.startswith("application/grpc-web-text"):
        body = base64.b64decode(body, validate=True)
    length = int.from_bytes(body[1:5])
    assert (body[0], length) == (0x80, len(body) - 5), body
    lines = [line.partition(":") for line in body[5:].decode("ascii").split("\r\n")[:-1]]
    trailers = {name.strip().lower(): value.strip() for name, _, value in lines}
    failure = Failure(int(trailers["grpc-status"]), trailers["grpc-message"])
    return reply.status, returned, failure, body
