"""What Envoy must send: one list, by the settings that make a decision depend on it."""

import pytest

from sidecar.config import parse_config
from sidecar.config.envoy_needs import certificate_routes, needed_headers
from tests.config.documents import MINIMAL

BODIES = {"content-type", "content-encoding"}
BUNDLE = {"x-module-signature", "content-range", "content-transfer-encoding"} | BODIES
LOGIN = "limits: {login: {attempts: {requests: 5, per_seconds: 60}, account_json: /user}}"
CORS = "headers: {cors: {pages: {origins: ['https://a.example']}}}\n"
ROWS: list[tuple[str, str, str, set[str]]] = [
    ("a token in the header", "path: /a", "", {"authorization"}),
    ("an optional one", "path: /a, auth: optional", "", {"authorization"}),
    ("none", "path: /a, auth: none", "", set()),
    ("none, though a place is named", "path: /a, auth: none, token_from: ['cookie:s']", "", set()),
    ("a cookie", "path: /a, token_from: ['cookie:s']", "", {"cookie"}),
    ("a websocket", "path: /a, token_from: [websocket]", "", {"sec-websocket-protocol"}),
    ("two places", "path: /a, token_from: [header, 'cookie:s']", "", {"authorization", "cookie"}),
    ("a proof", "path: /a, binding: {by: [dpop]}", "", {"authorization", "dpop"}),
    ("a certificate", "path: /a, binding: {by: [certificate]}", "", {"authorization"}),
    ("a module", "path: /a, module: signed, methods: [POST]", "modules: {}\n",
     {"authorization"} | BUNDLE),
    ("a login", f"path: /a, auth: none, methods: [POST], {LOGIN}", "limits: {}\n", BODIES),
    ("streams", "path: /a, end_streams_with_token: true", "", {"authorization", "grpc-timeout"}),
    ("CORS", "path: /a, auth: none", CORS, {"origin", "access-control-request-method"}),
]  # fmt: skip


@pytest.mark.parametrize(("route", "more", "needed"), [r[1:] for r in ROWS],
                         ids=[r[0] for r in ROWS])  # fmt: skip
def test_what_is_needed(route: str, more: str, needed: set[str]) -> None:
    text = f"{MINIMAL.partition('routes:')[0]}routes: [{{name: a, {route}}}]\n{more}"
    config = parse_config(text, "test")
    found = needed_headers(config)
    assert {each.header for each in found} == needed | {":method"}
    assert len({each.header for each in found}) == len(found), "each once"
    assert certificate_routes(config) == (("a",) if "certificate]" in route else ())
