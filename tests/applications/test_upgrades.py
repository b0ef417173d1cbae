"""What an upgrade's ``Connection`` names, and what the proxies behind us then remove."""

import json
from typing import Any

import pytest

from sidecar.common.reasons import ANSWERS, Reason
from tests.applications.conftest import UNCHECKED
from tests.applications.edge import Edge, Reply
from tests.applications.servers import Applications

pytestmark = pytest.mark.real
HANDSHAKE = [
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
]
MAY_PASS = [
    "Upgrade",
    "upgrade",
    "keep-alive, Upgrade",
    "Upgrade,Keep-Alive",
    "upgrade , keep-alive",
    ", upgrade,,keep-alive,",
    "upgrade, upgrade",
]
REFUSED = [
    "Upgrade, x-tenant-id, x-user-id, x-roles",
    "x-tenant-id, upgrade",
    "upgrade, X-Roles",
    "upgrade, close",
    "close, upgrade",
    "upgrade, te",
    "upgrade, authorization",
    "upgrade, host",
    "upgrade, sec-websocket-key",
    "upgrade,keep-alive,cookie",
    'upgrade, "x-tenant-id"',
    "upgrade;x-tenant-id, upgrade",
    "upgrade, upgrade x-roles",
    "upgrade,\tx-roles",
]


def shake(edge: Edge, path: str, *connection: str) -> Reply:
    lines = [("connection", value) for value in connection]
    return edge.ask("node", path, [*HANDSHAKE, *lines, edge.token()])


@pytest.mark.parametrize("path", ["/api/x", "/public/x", f"{UNCHECKED}/x"])
@pytest.mark.parametrize("connection", REFUSED)
def test_an_upgrade_that_takes_headers_away_is_refused(
    connection: str, path: str, applications: Applications, edge: Edge
) -> None:
    applications.get("node")
    reply = shake(edge, path, connection)
    assert reply.status == 400
    assert ("content-type", "application/problem+json") in reply.headers
    title = ANSWERS[Reason.REQUEST_MALFORMED].title
    assert reply.document["title"] == title
    assert reply.document["type"] == f"urn:septem:reason:{Reason.REQUEST_MALFORMED}"
    assert reply.reason == Reason.REQUEST_MALFORMED
    assert "upgrade and keep-alive" in reply.document["detail"]
    names = {name for name, _ in reply.headers}
    assert {"strict-transport-security", "content-security-policy", "x-frame-options"} <= names


def test_no_older_name_of_connection_is_forwarded(applications: Applications, edge: Edge) -> None:
    applications.get("node")
    older = [("proxy-connection", "x-tenant-id"), ("keep-alive", "x-tenant-id")]
    for path in ("/api/x", f"{UNCHECKED}/x"):
        sent = [*HANDSHAKE, ("connection", "Upgrade"), *older, edge.token()]
        seen = json.loads(edge.ask("node", path, sent).body)["seen"]
        assert not {name for name, _ in older} & seen.keys()
        assert edge.ask("node", path, [*older, edge.token()]).told["seen"].keys() >= {"host"}


def test_two_lines_are_one_list(applications: Applications, edge: Edge) -> None:
    applications.get("node")
    assert shake(edge, "/api/x", "Upgrade", "x-tenant-id").status == 400
    assert shake(edge, "/api/x", "x-tenant-id", "Upgrade").status == 400
    assert shake(edge, "/api/x", "keep-alive", "Upgrade").status == 101


@pytest.mark.parametrize("connection", MAY_PASS)
def test_an_ordinary_upgrade_passes_with_its_tenant(
    connection: str, applications: Applications, edge: Edge
) -> None:
    applications.get("node")
    reply = shake(edge, "/api/x", connection)
    assert reply.status == 101, reply.body
    seen = json.loads(reply.body)["seen"]
    assert seen["x-user-id"] == "user-42"
    assert set(seen["connection"].lower().replace(" ", "").split(",")) <= {
        "upgrade",
        "keep-alive",
        "",
    }


def test_an_upgrade_still_needs_its_token(applications: Applications, edge: Edge) -> None:
    applications.get("node")
    reply = edge.ask("node", "/api/x", [*HANDSHAKE, ("connection", "Upgrade")])
    assert (reply.status, reply.reason) == (401, "token_missing")


@pytest.mark.parametrize(
    "connection", ["x-tenant-id, x-roles, close", "close, x-user-id", "keep-alive, x-tenant-id"]
)
def test_without_an_upgrade_envoy_forwards_no_connection(
    connection: str, applications: Applications, edge: Edge
) -> None:
    applications.get("node")
    reply = edge.ask("node", "/api/x", [("connection", connection), edge.token()])
    assert reply.status == 200, reply.body
    assert {"x-tenant-id", "x-user-id", "x-roles"} <= reply.names
    assert reply.told["seen"].get("connection", "keep-alive") == "keep-alive"


@pytest.mark.parametrize("protocol", ["h2c", "foo", "websocket, foo", "TLS/1.0"])
def test_another_upgrade_reaches_no_application(
    protocol: str, applications: Applications, edge: Edge
) -> None:
    applications.get("node")
    headers = [("connection", "Upgrade"), ("upgrade", protocol), edge.token()]
    reply = edge.ask("node", "/api/x", headers)
    assert reply.status in {200, 400, 403}
    assert "upgrade" not in reply.told.get("seen", {})


@pytest.mark.parametrize(
    ("method", "more"),
    [("CONNECT", {"protocol": "websocket"}), ("GET", {"protocol": "websocket"}), ("CONNECT", {})],
    ids=["extended CONNECT", "a protocol without CONNECT", "CONNECT"],
)
def test_http2_has_no_way_round(
    method: str, more: dict[str, Any], applications: Applications, edge: Edge
) -> None:
    applications.get("node")
    headers = [*HANDSHAKE[1:], edge.token()]
    reply = edge.ask_http2("node", "/api/x", headers, method=method, **more)
    assert reply.status not in {101, 200}
    assert reply.told == {}


def test_http2_takes_no_connection(applications: Applications, edge: Edge) -> None:
    applications.get("node")
    headers = [("connection", "upgrade, x-tenant-id"), ("upgrade", "websocket"), edge.token()]
    assert edge.ask_http2("node", "/api/x", headers).told == {}
