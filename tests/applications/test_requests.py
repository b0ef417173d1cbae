"""Hosts, methods and framing: what applications are told is what was decided on."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.applications.conftest import UNCHECKED, without_check
from tests.applications.edge import START, Edge
from tests.applications.servers import Applications

pytestmark = pytest.mark.real
SOME = ("php", "lighttpd", "nginx", "wsgiref", "uvicorn", "node", "express", "puma")


def head(name: str, *hosts: str, target: str = "/public/x", method: str = "GET") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"host: {each}" for each in hosts)]
    return "\r\n".join([*lines, "connection: close", "", ""]).replace("@NAME@", name).encode()


ONE_HOST = [
    ("as it is", ("@NAME@.example",), "/public/x"),
    ("a port", ("@NAME@.example:8443",), "/public/x"),
    ("a trailing dot", ("@NAME@.example.",), "/public/x"),
    ("a target with a host of its own", ("other.example",), "http://@NAME@.example/public/x"),
]


@pytest.mark.parametrize(
    ("hosts", "target"), [row[1:] for row in ONE_HOST], ids=[row[0] for row in ONE_HOST]
)
@pytest.mark.parametrize("name", SOME)
def test_every_spelling_of_a_host_is_told_as_one(
    name: str, hosts: tuple[str, ...], target: str, applications: Applications, edge: Edge
) -> None:
    applications.get(name)
    reply = edge.send(head(name, *hosts, target=target))
    assert reply.status == 200, reply.body
    assert reply.told["host"] == f"{name}.example"


NO_HOST = [
    ("two", ("wsgiref.example", "other.example")),
    ("a list", ("wsgiref.example, other.example",)),
    ("a user", ("user@wsgiref.example",)),
    ("a path", ("wsgiref.example/x",)),
    ("a space", ("wsgiref.example other.example",)),
    ("none", ()),
    ("empty", ("",)),
]


@pytest.mark.parametrize("hosts", [row[1] for row in NO_HOST], ids=[row[0] for row in NO_HOST])
def test_what_is_not_one_host_reaches_no_application(
    hosts: tuple[str, ...], applications: Applications, edge: Edge
) -> None:
    applications.get("wsgiref")
    reply = edge.send(head("wsgiref", *hosts))
    assert reply.status in {400, 404, 503}
    assert reply.told == {}


TWO_READINGS = [
    "@NAME@.example..",
    "@NAME@.example:1:2",
    "@NAME@.example:443:443",
    "@NAME@.example:443.:443",
    "@NAME@.example.:",
    "@NAME@.example:",
]


def through_the_other_host(manager: Any) -> None:
    """Let the virtual host that takes every host have an application of its own, and no Check."""
    without_check(manager)
    for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
        if route.get("route", {}).get("cluster") == "application":
            route["route"]["cluster"] = "wsgiref"


@pytest.fixture(scope="module", params=[True, False], ids=["sidecar", "edge alone"])
def two_hosts(
    request: pytest.FixtureRequest,
    applications: Applications,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    """The host of node is public, and every other host is not."""
    config = f"""\
{START}routes:
  - {{name: public, path_prefix: /, hosts: [node.example], auth: none}}
  - {{name: all, path_prefix: /}}
"""
    running = [applications.get(name) for name in ("wsgiref", "node")]
    folder = tmp_path_factory.mktemp("two-hosts")
    change = through_the_other_host
    with Edge(config, running, folder, change=change, sidecar=request.param) as started:
        yield started


@pytest.mark.parametrize("path", ["/secret", f"{UNCHECKED}/x"])
@pytest.mark.parametrize("host", TWO_READINGS)
def test_no_spelling_of_a_public_host_leads_to_another_hosts_application(
    host: str, path: str, two_hosts: Edge
) -> None:
    """Envoy would choose the virtual host by what is left of one, the sidecar the rule."""
    named = host.replace("@NAME@", "node")
    replies = [two_hosts.send(head("node", named, target=path))]
    replies.append(two_hosts.ask_http2("node", path, authority=named))
    for reply in replies:
        assert (reply.status, reply.reason) == (400, "host_malformed"), reply.body
        assert ("content-type", "application/problem+json") in reply.headers


def test_hosts_that_are_one_reach_their_own_application(two_hosts: Edge) -> None:
    for host in ("node.example", "NODE.example:8443", "node.example."):
        reply = two_hosts.send(head("node", host, target=f"{UNCHECKED}/x"))
        assert "GATEWAY_INTERFACE" not in reply.told["seen"]
    reply = two_hosts.send(head("node", "[::1]:8443", target=f"{UNCHECKED}/x"))
    assert reply.told["host"] == "[::1]"
    assert "GATEWAY_INTERFACE" in reply.told["seen"]


@pytest.mark.parametrize("method", ["get", "Post", "DELETE/**/", "M-SEARCH", "PRI"])
def test_a_method_in_other_letters_reaches_no_application(
    method: str, applications: Applications, edge: Edge
) -> None:
    """Some frameworks compare methods without their case."""
    applications.get("express")
    reply = edge.send(head("express.example", "express.example", method=method))
    assert reply.status in {400, 404, 403}
    assert reply.told == {}


FRAMING = [
    ("a length beside chunks", ["content-length: 4", "transfer-encoding: chunked"]),
    ("two lengths", ["content-length: 4", "content-length: 5"]),
    ("a list of lengths", ["content-length: 4, 5"]),
    ("chunked twice", ["transfer-encoding: chunked", "transfer-encoding: chunked"]),
    ("another coding", ["transfer-encoding: xchunked"]),
    ("a coding before chunked", ["transfer-encoding: gzip, chunked"]),
    ("a length with a sign", ["content-length: +4"]),
    ("a space before the colon", ["transfer-encoding : chunked"]),
]


@pytest.mark.parametrize("lines", [row[1] for row in FRAMING], ids=[row[0] for row in FRAMING])
def test_a_body_of_two_readings_reaches_no_application(
    lines: list[str], applications: Applications, edge: Edge
) -> None:
    applications.get("wsgiref")
    start = ["POST /public/x HTTP/1.1", "host: wsgiref.example", "connection: close"]
    reply = edge.send("\r\n".join([*start, *lines, "", "0\r\n\r\n"]).encode())
    assert reply.status in {400, 501}
    assert reply.told == {}


@pytest.mark.parametrize("name", ["node", "wsgiref"])
def test_over_http2_the_authority_is_the_host(
    name: str, applications: Applications, edge: Edge
) -> None:
    applications.get(name)
    reply = edge.ask_http2(name, "/public/x", [("host", "other.example")])
    assert reply.status == 200
    assert reply.told["host"] == f"{name}.example"
    assert "other.example" not in reply.body
