"""What the application says of itself and of CORS is removed, however it answers."""

import re
from collections.abc import Iterator

import pytest

from demo.envoyproxy import shipped_config
from tests.streams.application import Script, answers
from tests.streams.edge import (
    UPGRADE,
    Header,
    StreamsEdge,
    manager_of,
    routes_of,
    running_edge,
)

pytestmark = pytest.mark.real
TAKEN = manager_of(shipped_config())["route_config"]["response_headers_to_remove"]
CARELESS = "".join(f"{name}: careless\r\n" for name in TAKEN).encode()
CARELESS += b"cache-control: public, max-age=60\r\n"
CLOSE = b"connection: close\r\n"
"""Or Envoy might send the next request on a connection that is about to be closed."""
END = b"content-length: 2\r\n\r\nok"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n" + CARELESS + b"\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
ANSWERS = {
    "200": b"HTTP/1.1 200 OK\r\n" + CARELESS + CLOSE + END,
    "201": b"HTTP/1.1 201 Created\r\n" + CARELESS + CLOSE + END,
    "204": b"HTTP/1.1 204 No Content\r\n" + CLOSE + CARELESS + b"\r\n",
    "302": b"HTTP/1.1 302 Found\r\nlocation: /x\r\n" + CARELESS + CLOSE + END,
    "304": b"HTTP/1.1 304 Not Modified\r\n" + CLOSE + CARELESS + b"\r\n",
    "403": b"HTTP/1.1 403 Forbidden\r\n" + CARELESS + CLOSE + END,
    "500": b"HTTP/1.1 500 Oh\r\n" + CARELESS + CLOSE + END,
    "101": SWITCH + CARELESS + b"\r\nhello",
    "100 first": b"HTTP/1.1 100 Continue\r\n" + CARELESS + b"\r\nHTTP/1.1 200 OK\r\n" + CLOSE + END,
    "103 first": b"HTTP/1.1 103 Early Hints\r\n"
    + CARELESS
    + b"\r\nHTTP/1.1 200 OK\r\n"
    + CLOSE
    + END,
    "trailers": b"HTTP/1.1 200 OK\r\n" + CARELESS + CLOSE + CHUNKED,
}
PATHS = ["/open", "/api", "/api/v1/modules/install", "/.well-known/septem/csp-reports"]


def by_status(connection: object, head: bytes) -> None:
    wanted = head.partition(b"x-want: ")[2].partition(b"\r\n")[0].decode()
    answers(ANSWERS[wanted])(connection, head)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamsEdge]:
    scripts: dict[str, Script] = dict.fromkeys(PATHS, by_status)
    with running_edge(tmp_path_factory.mktemp("edge"), scripts) as running:
        yield running


@pytest.mark.parametrize("headers", [(), UPGRADE], ids=["request", "upgrade"])
@pytest.mark.parametrize("kind", ANSWERS)
def test_nothing_of_it_comes_through(
    edge: StreamsEdge, kind: str, headers: tuple[Header, ...]
) -> None:
    if kind == "101" and not headers:
        return
    reply = edge.fetch(
        "/open", ("x-want", kind), *headers, enough=lambda got: got.endswith(b"hello")
    )
    assert reply.status == (int(kind) if kind.isdigit() else 200)
    assert b"careless" not in reply.body
    if headers:
        assert reply.all("cache-control") == ["no-store"]
    assert b"about:blank" not in reply.body
    for name in TAKEN:
        assert reply.all(name) == [], name
    assert len(reply.all("strict-transport-security")) == 1
    assert len(reply.all("content-security-policy")) == 1


def test_an_upgrade_takes_no_other_way(edge: StreamsEdge) -> None:
    """Neither one that gets no Check, nor one whose response goes without the removal."""
    for path in PATHS[2:]:
        reply = edge.fetch(path, ("x-want", "200"), *UPGRADE)
        assert reply.status in (401, 403), reply
        assert reply.document()["reason"] in ("token_missing", "route_unknown")


def test_a_pages_origin_is_still_answered(edge: StreamsEdge) -> None:
    """What the sidecar says of CORS stays, on what it allows and on what it refuses."""
    origin = ("origin", "https://app.example")
    for headers, status in (((edge.bearer(),), 200), ((), 401)):
        reply = edge.fetch("/api", ("x-want", "200"), origin, *headers)
        assert reply.status == status
        assert reply.all("access-control-allow-origin") == ["https://app.example"]


def test_the_lists_are_one() -> None:
    host = manager_of(shipped_config())["route_config"]["virtual_hosts"][0]
    route, *_ = routes_of(host)
    per_route = route["typed_per_filter_config"]["envoy.filters.http.header_mutation"]
    *removed, added = per_route["mutations"]["response_mutations"]
    assert removed == [{"remove": name} for name in TAKEN]
    assert added["append"]["header"] == {"key": "cache-control", "value": "no-store"}
    (first, *_) = manager_of(shipped_config())["http_filters"]
    (trailers,) = first["typed_config"]["mutations"]["response_trailers_mutations"]
    pattern = trailers["remove_on_match"]["key_matcher"]["safe_regex"]["regex"]
    assert [name for name in TAKEN if not re.fullmatch(pattern, name)] == []
