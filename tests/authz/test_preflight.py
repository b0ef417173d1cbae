"""Which requests are preflights to answer, and by which route."""

import pytest

from sidecar.authz.decision import RequestView
from sidecar.authz.preflight import match_preflight
from sidecar.authz.snapshot import build_snapshot
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.config import parse_config
from sidecar.tokens.keyring import EMPTY_RING
from tests.authz.conftest import CONFIG

ROUTES = """\
routes:
  - {name: reads, path_prefix: /api, methods: [GET], cors: pages}
  - {name: writes, path_prefix: /api, methods: [PUT], cors: pages}
  - {name: closed, path_prefix: /closed}
headers:
  cors: {pages: {origins: ["https://app.example"]}}
"""
SNAPSHOT = build_snapshot(parse_config(CONFIG.partition("routes:")[0] + ROUTES, "test"), EMPTY_RING)
ORIGIN = {"origin": b"https://anyone.example"}


def ask(path: bytes = b"/api/x", **headers: bytes) -> str | None:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    view = RequestView(b"OPTIONS", b"App.Example:443", path, sent)
    match = match_preflight(view, SNAPSHOT)
    return None if match is None else f"{match[2].name} {match[0]}{match[1]}"


ROWS: list[tuple[str, dict[str, bytes], str | None]] = [
    ("by the announced method", {"access_control_request_method": b"GET"}, "reads"),
    ("another one", {"access_control_request_method": b"PUT"}, "writes"),
    ("one that no route takes", {"access_control_request_method": b"DELETE"}, None),
    ("small letters", {"access_control_request_method": b"get"}, None),
    ("none", {}, None),
    ("an empty one", {"access_control_request_method": b""}, None),
]


@pytest.mark.parametrize(
    ("headers", "route"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_rows(headers: dict[str, bytes], route: str | None) -> None:
    assert ask(**ORIGIN, **headers) == (route and f"{route} app.example/api/x")
    assert ask(**headers) is None, "without an origin it is a request like any other"


def test_a_route_without_cors_answers_none() -> None:
    assert ask(b"/closed", **ORIGIN, access_control_request_method=b"GET") is None


def test_what_has_two_readings_is_denied_here_already() -> None:
    with pytest.raises(Denied) as denied:
        ask(b"/closed/..%2fapi", **ORIGIN, access_control_request_method=b"GET")
    assert denied.value.reason is Reason.PATH_AMBIGUOUS
