"""service-mtls.yaml: its time-outs, its own replies and what gRPC is told are the edge's."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.streams.application import Script, answers
from tests.streams.edge import (
    BEGIN_SECONDS,
    STREAM_SECONDS,
    ServiceEdge,
    StreamsEdge,
    no_sidecar,
    running_edge,
    scale,
)
from tests.streams.grpc_clients import Failure, call

pytestmark = pytest.mark.real


def events(connection: socket.socket, _: bytes) -> None:
    """Send an event now and then, until the connection is cut or it has been long enough."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    ends = time.monotonic() + 2 * BEGIN_SECONDS
    while time.monotonic() < ends:
        connection.sendall(b"data: tick\n\n")
        time.sleep(0.1)
    connection.sendall(b"data: end\n\n")


def hang(connection: socket.socket, _: bytes) -> None:
    connection.recv(1)


SCRIPTS: dict[str, Script] = {
    "/open/events": events,
    "/ending/events": events,
    "/open/hangs": hang,
    "/open/closes": answers(b""),
    "/test.Calls/Hangs": hang,
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamsEdge]:
    folder = tmp_path_factory.mktemp("service")
    with running_edge(folder, SCRIPTS, scale, kind=ServiceEdge) as running:
        yield running


def test_events_go_on_and_end_with_their_token_where_they_shall(service: StreamsEdge) -> None:
    assert b"data: end" in service.fetch("/open/events").body
    assert b"data: end" in service.fetch("/ending/events", service.bearer()).body
    cut = service.fetch("/ending/events", service.bearer(0.8))
    assert b"data: tick" in cut.body
    assert b"data: end" not in cut.body


@pytest.mark.parametrize(("path", "status"), [("/open/hangs", 504), ("/open/closes", 503)])
def test_its_own_replies_are_problems(service: StreamsEdge, path: str, status: int) -> None:
    reply = service.fetch(path)
    assert (reply.status, reply.document()["status"]) == (status, status)
    assert reply.all("content-type") == ["application/problem+json"]
    assert reply.all("cache-control") == ["no-store"]
    assert reply.seconds < STREAM_SECONDS / 2


def test_a_denial_keeps_its_body(service: StreamsEdge) -> None:
    assert service.fetch("/api/x").document()["reason"] == "token_missing"


def test_grpc_is_told_a_code_and_a_sentence(service: StreamsEdge, tmp_path: Path) -> None:
    assert call(service, "/test.Calls/X")[1] == Failure(16, "An access token is required")
    assert call(service, "/test.Calls/a;b")[1].code == 3
    late = Failure(4, "The application took too long to answer")
    assert call(service, "/test.Calls/Hangs", service.bearer())[1] == late
    with running_edge(tmp_path, SCRIPTS, no_sidecar, kind=ServiceEdge) as alone:
        assert call(alone, "/test.Calls/X")[1] == Failure(14, "The request could not be checked")
