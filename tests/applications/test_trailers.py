"""What a client says after its body is heard by no application that could take it for more."""

from pathlib import Path
from typing import Any

import pytest

from sidecar.config.overrides import OVERRIDES
from sidecar.headers.tenant import TRUSTED
from tests.applications.conftest import CONFIG, UNCHECKED
from tests.applications.edge import Edge, Reply
from tests.applications.servers import Applications

pytestmark = pytest.mark.real
FORGED = "forged-by-the-client"
TAKEN = [
    *TRUSTED,
    *(name.replace("-", byte) for name in TRUSTED for byte in ".~!"),
    *(each.name for each in OVERRIDES[:20]),
    "authorization",
    "cookie",
    "cookie2",
    "content-type",
    "content-encoding",
    "expect",
    "if-none-match",
    "origin",
    "referer",
    "sec-fetch-site",
    "sec-websocket-protocol",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-client-cert",
    "x-envoy-external-address",
    "x-request-id",
]


@pytest.mark.parametrize("path", [f"{UNCHECKED}/x", "/public/x", "/api/x"])
def test_nothing_of_weight_comes_in_a_trailer(
    path: str, applications: Applications, edge: Edge
) -> None:
    applications.get("node-http2")
    trailers = [(name, FORGED) for name in TAKEN] + [("x-checksum", "abc")]
    reply = edge.ask_http2("node-http2", path, [edge.token()], trailers, method="POST")
    assert reply.status == 200, reply.body
    assert FORGED not in reply.body
    assert reply.told["trailers"] == {"x-checksum": "abc"}


def test_a_trailer_with_an_underscore_ends_the_request(
    applications: Applications, edge: Edge
) -> None:
    """As a header with one does (``headers_with_underscores_action``)."""
    applications.get("node-http2")
    reply = edge.ask_http2("node-http2", "/public/x", (), [("x_roles", FORGED)], method="POST")
    assert reply.status in {0, 400}
    assert reply.told == {}


def test_a_request_with_nothing_but_forged_trailers_ends_all_the_same(
    applications: Applications, edge: Edge
) -> None:
    applications.get("node-http2")
    trailers = [("x-tenant-id", FORGED)]
    reply = edge.ask_http2("node-http2", "/public/x", (), trailers, method="POST")
    assert reply.status == 200
    assert reply.told["trailers"] == {}


def test_http1_trailers_do_not_arrive(applications: Applications, edge: Edge) -> None:
    """Envoy drops them, unless it is told to read them."""
    for name in ("node", "node-http2"):
        applications.get(name)
        reply = chunked(edge, name)
        assert reply.status == 200, reply.body
        assert reply.told["trailers"] == {}


def test_http1_trailers_are_held_to_the_same_where_envoy_reads_them(
    applications: Applications, tmp_path: Path
) -> None:
    def read_trailers(manager: Any) -> None:
        manager["http_protocol_options"] = {"enable_trailers": True}

    running = [applications.get("node-http2")]
    with Edge(CONFIG, running, tmp_path, change=read_trailers) as edge:
        reply = chunked(edge, "node-http2")
    assert reply.status == 200, reply.body
    assert reply.told["trailers"] == {"x-checksum": "abc"}


def chunked(edge: Edge, name: str) -> Reply:
    return edge.send(
        f"POST /public/x HTTP/1.1\r\nhost: {name}.example\r\n"
        "transfer-encoding: chunked\r\ntrailer: x-tenant-id\r\nconnection: close\r\n\r\n"
        f"1\r\na\r\n0\r\nx-tenant-id: {FORGED}\r\nX.Roles: {FORGED}\r\n"
        f"cookie: {FORGED}\r\nx-checksum: abc\r\n\r\n".encode()
    )


def test_an_applications_trailers_say_nothing_that_the_edge_decides(
    applications: Applications, edge: Edge
) -> None:
    applications.get("node-http2")
    reply = edge.ask_http2("node-http2", "/public/x")
    assert reply.trailers == (("x-checksum", "abc"),)
