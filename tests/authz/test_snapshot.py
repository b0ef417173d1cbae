"""What the settings become: routes, the rules of tokens, and what is removed."""

from typing import Any

import pytest

from sidecar.authz.routes import Route
from sidecar.authz.snapshot import build_snapshot, compile_routes
from sidecar.config import parse_config
from sidecar.tokens.keyring import EMPTY_RING
from sidecar.tokens.pii import PiiAction
from tests.authz.conftest import CONFIG

HEAD = CONFIG.partition("routes:")[0]
CORS = """\
headers:
  cors: {any: {origins: ["*"]}, one: {origins: ["https://a.example"]}}
"""


def compiled(*routes: str) -> list[Route]:
    text = HEAD + "routes:\n" + "".join(f"  - {{{each}}}\n" for each in routes) + CORS
    return list(compile_routes(parse_config(text, "test")))


ROWS: list[tuple[str, str, dict[str, Any]]] = [
    ("every method", "path: /", {"methods": frozenset()}),
    ("HEAD goes with GET", "path: /, methods: [GET]", {"methods": {"GET", "HEAD"}}),
    (
        "unless it does not",
        "path: /, methods: [GET], head_with_get: false",
        {"methods": {"GET"}},
    ),
    ("HEAD goes with nothing else", "path: /, methods: [POST]", {"methods": {"POST"}}),
    ("a path in its canonical form", "path: /%7ea", {"path": "/~a", "path_prefix": None}),
    ("a prefix as well", "path_prefix: /%7ea", {"path": None, "path_prefix": "/~a"}),
    ("an answer for any origin", "path: /, cors: any", {"reads_origin": False, "cors": "any"}),
    ("one of each origin's own", "path: /, cors: one", {"reads_origin": True, "cors": "one"}),
    ("no CORS", "path: /", {"reads_origin": False, "cors": ""}),
    ("exact", "path: /, path_reading: exact", {"exact_paths": True}),
]


@pytest.mark.parametrize(("text", "fields"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_routes(text: str, fields: dict[str, Any]) -> None:
    (route,) = compiled("name: r, " + text)
    assert {name: getattr(route, name) for name in fields} == fields


def test_each_route_watches_where_any_reads_tokens() -> None:
    header, cookie, socket, public = compiled(
        "name: a, path: /a",
        "name: b, path: /b, token_from: ['cookie:session']",
        "name: c, path: /c, token_from: [websocket]",
        "name: d, path: /d, auth: none",
    )
    for route in (header, cookie, socket, public):
        assert b"session" in route.places.forms
        assert route.places.watches_websocket
    assert [route.places.cookies for route in (header, cookie)] == [(), (b"session",)]
    assert header.places is public.places, "one for the routes that read alike"


def test_a_place_of_a_public_route_is_watched_by_none() -> None:
    (route, _) = compiled(
        "name: a, path: /a", "name: b, path: /b, auth: none, token_from: ['cookie:session']"
    )
    assert not route.places.forms
    assert not route.places.watches_websocket


MORE = [
    ("nothing said", "", {"refuse_degraded": False, "modules": None}),
    ("refuse", "keys: {when_degraded: refuse}", {"refuse_degraded": True}),
]


@pytest.mark.parametrize(("text", "fields"), [r[1:] for r in MORE], ids=[r[0] for r in MORE])
def test_what_else_a_snapshot_says(text: str, fields: dict[str, Any]) -> None:
    snapshot = build_snapshot(parse_config(CONFIG + text, "test"), EMPTY_RING)
    assert {name: getattr(snapshot, name) for name in fields} == fields
    assert snapshot.kept_by_route == {"kept": frozenset({"x-forwarded-host"})}
    assert "x_internal-debug" in snapshot.names_to_remove
    assert (snapshot.pii_names, snapshot.pii_values) == (PiiAction.DENY, PiiAction.WARN)
