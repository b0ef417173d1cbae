"""Notes on a valid configuration."""

import pytest

from sidecar.authz.notes import notes
from sidecar.authz.routes import Route
from sidecar.authz.snapshot import compile_routes
from sidecar.config import parse_config
from tests.authz.test_lenient import GET, anybody
from tests.authz.test_routes import route
from tests.config.documents import MINIMAL


def said(*routes: Route) -> list[str]:
    config = parse_config(MINIMAL, "test")
    return [f"{problem.path[1]}: {problem.message}" for problem in notes(config, routes)]


def test_a_note_where_two_routes_differ_in_nothing_that_lenient_servers_see() -> None:
    admin = route("admin", path="/Admin")
    assert (
        "the path of route 'admin' only in" in said(admin, anybody("open", path_prefix="/admin"))[0]
    )
    assert said(admin, anybody("open", path="/Admin/"))[0].startswith("1: ")
    assert said(admin, route("again", path="/admin/")) == [], "they decide alike"
    assert said(admin, anybody("open", path="/admin", exact_paths=True)) == []
    assert said(admin, anybody("open", path="/admin", hosts=("a.example",))) != []
    one, two = (("a.example",), ("b.example",))
    assert said(route("a", path="/A", hosts=one), anybody("b", path="/a", hosts=two)) == []
    assert said(route("a", path_prefix="/a/"), anybody("b", path_prefix="/a", methods=GET)) == []
    assert said(route("a", path="/A", hosts=("*.x",)), anybody("b", path="/a", hosts=one)) != []


NEEDED: list[tuple[str, str, int, list[str]]] = [
    ("the header alone", "", 1, []),
    ("a cookie", "token_from: ['cookie:session']", 1,
     ["r0: routes read tokens there", "{exact: cookie}"]),
    ("a websocket's protocol", "token_from: [websocket]", 1, ["{exact: sec-websocket-protocol}"]),
    ("five of them", "token_from: ['cookie:session']", 5, ["r0, r1, r2, r3, r4: routes read"]),
    ("six of them", "token_from: ['cookie:session']", 6, ["r0, r1, r2, r3, r4 and 1 more: routes"]),
    ("a proof", "binding: {by: [dpop]}", 1, ["{exact: dpop}"]),
    ("a certificate", "auth: none, clients: [a.internal]", 1, ["include_peer_certificate: true"]),
]  # fmt: skip


@pytest.mark.parametrize(("route_text", "count", "parts"), [row[1:] for row in NEEDED],
                         ids=[row[0] for row in NEEDED])  # fmt: skip
def test_what_envoy_must_send(route_text: str, count: int, parts: list[str]) -> None:
    listed = "".join(
        f"  - {{name: r{n}, path: /{n}{', ' if route_text else ''}{route_text}}}\n"
        for n in range(count)
    )
    config = parse_config(MINIMAL.partition("routes:\n")[0] + "routes:\n" + listed, "test")
    messages = [each.message for each in notes(config, compile_routes(config))]
    assert len(messages) == bool(parts)
    assert all(part in messages[0] for part in parts)
