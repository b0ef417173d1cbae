"""The bound on a response's head; hostile servers are in ``test_http_client.py``."""

import socket
from http.client import HTTPConnection
from typing import Any

import pytest

from sidecar.common.deadline import POOLS
from sidecar.common.response_head import MAX_HEAD_BYTES, BoundedResponse, HeadTooLong


def read(answer: bytes) -> Any:
    """Read an answer as a connection does."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        response = BoundedResponse(ours, method="GET")
        response.begin()
        return response.status, response.read()


def head(size: int) -> bytes:
    """A head of exactly so many bytes."""
    start, end = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", b"\r\n"
    filler = b"X: " + b"x" * 1000 + b"\r\n"
    while len(start) + len(filler) + len(end) + 8 <= size:
        start += filler
    start += b"Y: " + b"y" * (size - len(start) - len(end) - 5) + b"\r\n"
    return start + end


def test_a_head_up_to_the_bound_is_read_and_its_body_is_another_thing() -> None:
    assert len(head(MAX_HEAD_BYTES)) == MAX_HEAD_BYTES
    assert read(head(MAX_HEAD_BYTES) + b"ok") == (200, b"ok")


def test_a_byte_more_is_too_long() -> None:
    with pytest.raises(HeadTooLong):
        read(head(MAX_HEAD_BYTES + 1) + b"ok")


def test_interim_responses_count() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert read(interim * 10 + head(500) + b"ok") == (200, b"ok")
    with pytest.raises(HeadTooLong):
        read(interim * (MAX_HEAD_BYTES // len(interim) + 1) + head(500))


def test_an_answer_without_a_body() -> None:
    assert read(b"HTTP/1.1 204 No Content\r\n\r\n") == (204, b"")


def test_it_is_what_connections_use() -> None:
    for pool in POOLS.values():
        assert issubclass(pool.ConnectionCls, HTTPConnection)
        assert pool.ConnectionCls.response_class is BoundedResponse
