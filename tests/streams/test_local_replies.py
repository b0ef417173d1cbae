"""Envoy's own replies: problem+json wherever the sidecar's would be, and nothing of the inside."""

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from uuid import UUID

import pytest

from demo.cases import ALWAYS
from demo.process import free_ports
from tests.streams.application import Script, answers
from tests.streams.edge import (
    UPGRADE,
    Header,
    Reply,
    StreamsEdge,
    edge_before,
    no_sidecar,
    read_reply,
    running_edge,
    scale,
    table,
)

pytestmark = pytest.mark.real
GOOD = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
LARGE = b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 4000) for n in range(90))
MANY = b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(200))


def reset(connection: socket.socket, _: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang(connection: socket.socket, _: bytes) -> None:
    connection.recv(1)


SCRIPTS: dict[str, Script] = {
    "/open/good": answers(GOOD),
    "/api/good": answers(GOOD),
    "/open/closes": answers(b""),
    "/open/resets": reset,
    "/open/hangs": hang,
    "/api/hangs": hang,
    "/open/garbage": answers(b"\x00\x01\x02 no HTTP\r\n\r\n"),
    "/open/large": answers(LARGE + b"\r\n"),
    "/open/many": answers(MANY + b"\r\n"),
}
REPORTS = "/.well-known/septem/csp-reports"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamsEdge]:
    with running_edge(tmp_path_factory.mktemp("edge"), SCRIPTS, scale) as running:
        yield running


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamsEdge]:
    """The edge before an application that is down."""
    (nobody,) = free_ports(1)

    with edge_before(tmp_path_factory.mktemp("edge"), nobody, scale) as running:
        yield running


def assert_problem(reply: Reply, status: int) -> None:
    """RFC 9457, every security header, no trace of what is behind the edge."""
    assert reply.status == status
    assert reply.all("content-type") == ["application/problem+json"]
    document = reply.document()
    # What ends before Envoy gave it an id has none; no member stands empty.
    if "request_id" in document or status >= 500:
        assert UUID(document.pop("request_id")).version == 4
    assert set(document) == {"type", "title", "status"}
    assert (document["type"], document["status"]) == ("about:blank", status)
    for word in ("127.0.0.1", "upstream", "ext_authz", "{", "reset", "SSL"):
        assert word not in document["title"]
    assert reply.all("cache-control") == ["no-store"]
    for name, value in ALWAYS.items():
        assert len(reply.all(name)) == 1, name
        assert value is None or reply.all(name) == [value]


AFTER_A_CHECK = [
    ("closes", "/open/closes", 503),
    ("resets", "/open/resets", 503),
    ("hangs", "/open/hangs", 504),
    ("hangs, with a token", "/api/hangs", 504),
    ("no HTTP", "/open/garbage", 502),
    ("headers too large", "/open/large", 502),
    ("too many headers", "/open/many", 502),
]


@pytest.mark.parametrize(("path", "status"), **table(AFTER_A_CHECK))
@pytest.mark.parametrize("headers", [(), UPGRADE], ids=["", "upgrade"])
def test_an_application_that_fails_after_an_allowed_check(
    edge: StreamsEdge, path: str, status: int, headers: tuple[Header, ...]
) -> None:
    assert_problem(edge.fetch(path, edge.bearer(), *headers), status)


def test_an_application_that_is_down(without: StreamsEdge) -> None:
    assert_problem(without.fetch("/open/x"), 503)


def test_head_gets_the_same_headers_and_no_body(edge: StreamsEdge) -> None:
    reply = edge.fetch("/open/closes", method="HEAD")
    assert (reply.status, reply.body) == (503, b"")
    assert reply.all("content-type") == ["application/problem+json"]


@pytest.fixture(scope="module")
def unchecked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamsEdge]:
    """The edge, whose sidecar has gone."""
    with running_edge(tmp_path_factory.mktemp("edge"), SCRIPTS, scale, no_sidecar) as running:
        yield running


def test_a_sidecar_that_is_down(unchecked: StreamsEdge) -> None:
    assert_problem(unchecked.fetch("/open/good"), 503)


def test_plain_http_speaks_as_well_where_it_does_not_redirect(unchecked: StreamsEdge) -> None:
    """Of the challenges of CAs alone does it ask anybody."""
    for path, status in (("/.well-known/acme-challenge/x", 503), ("/open/good", 308)):
        with closing(HTTPConnection("127.0.0.1", unchecked.ports.http, timeout=10)) as client:
            client.request("GET", path)
            reply = client.getresponse()
            body = reply.read()
        assert reply.status == status
        assert reply.getheader("x-content-type-options") == "nosniff"
        if status == 503:
            document = json.loads(body)
            assert UUID(document.pop("request_id")).version == 4
            expected = {"type": "about:blank", "title": "The request could not be checked"}
            assert document == {**expected, "status": 503}
        else:
            assert body == b""


BEFORE_A_CHECK: list[tuple[str, str, str, tuple[Header, ...], int]] = [
    ("an encoded slash", "GET", "/open/a%2fb", (), 400),
    ("an underscore", "GET", "/open/good", (("x_y", "1"),), 400),
    ("headers too large", "GET", "/open/good", (("pad", "x" * 62_000),), 431),
    ("a report too large", "POST", REPORTS, (("content-length", "70000"),), 413),
    ("another protocol", "GET", "/open/good", (UPGRADE[0], ("upgrade", "smoke")), 403),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), **table(BEFORE_A_CHECK))
def test_what_envoy_refuses_itself(
    edge: StreamsEdge, method: str, path: str, headers: tuple[Header, ...], status: int
) -> None:
    with edge.open(path, *headers, method=method) as connection:
        connection.sendall(b"x" * 70_000 if method == "POST" else b"")
        reply = read_reply(connection, 0, lambda got: b"}" in got)
    assert_problem(reply, status)


def test_http_1_0_is_told_to_upgrade(edge: StreamsEdge) -> None:
    with socket.create_connection(("127.0.0.1", edge.ports.https), timeout=10) as connection:
        connection.sendall(b"GET /open/good HTTP/1.0\r\nhost: app.example\r\n\r\n")
        reply = read_reply(connection, 0, lambda got: b"}" in got)
    assert_problem(reply, 426)


def test_a_denial_keeps_its_own_body(edge: StreamsEdge) -> None:
    reply = edge.fetch("/api/good")
    assert reply.status == 401
    assert reply.document()["reason"] == "token_missing"
    assert reply.all("content-type") == ["application/problem+json"]


def test_what_is_allowed_is_the_applications(edge: StreamsEdge) -> None:
    assert edge.fetch("/open/good").body == b"ok"
    assert edge.fetch("/api/good", edge.bearer()).body == b"ok"
