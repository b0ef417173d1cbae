"""What differs between two tables of routes, and for whom."""

import pytest
from hypothesis import given

from sidecar.authz.route_differences import route_differences, who
from sidecar.authz.routes import Route, RouteTable
from sidecar.authz.snapshot import compile_routes
from sidecar.config import parse_config
from sidecar.config.difference import Effect
from tests.authz.test_reach import PROBES, routes
from tests.config.documents import MINIMAL

START = MINIMAL.partition("routes:")[0] + "headers: {cors: {p: {origins: [https://a.example]}}}\n"
API = "name: api, path_prefix: /api"
ADMIN = "name: admin, path_prefix: /api/admin, roles: [root]"
OPEN = "name: open, path_prefix: /open, auth: none"


def compiled(lines: tuple[str, ...]) -> tuple[Route, ...]:
    text = START + "routes:\n" + "".join(f"  - {{{line}}}\n" for line in lines)
    return compile_routes(parse_config(text, "test"))


def found(old: tuple[str, ...], new: tuple[str, ...]) -> list[tuple[str, str]]:
    return [
        (each.effect.word, each.text) for each in route_differences(compiled(old), compiled(new))
    ]


@pytest.mark.parametrize(
    ("old", "new", "effect", "text"),
    [
        (
            (API,), (f"{API}, roles: [a, b]",), "narrows",
            ("every request for /api and everything else below it on any host: was a valid token "
            "(route 'api'), is a valid token with one of the roles a, b (route 'api')"),
        ),
        (
            (API,), (f"{API}, auth: none",), "widens",
            ("every request for /api and everything else below it on any host: was a valid token "
            "(route 'api'), is everybody (route 'api')"),
        ),
        (
            (API,), (OPEN, API), "widens",
            ("every request for /open and everything else below it on any host: was nobody, is "
            "everybody (route 'open')"),
        ),
        (
            (API, "name: x, path: /x"), (API,), "narrows",
            "every request for /x on any host: was a valid token (route 'x'), is nobody",
        ),
        (  # the order alone
            (ADMIN, API), (API, ADMIN), "widens",
            ("every request for /api/admin and everything else below it on any host: was a valid "
            "token with the role root (route 'admin'), is a valid token (route 'api')"),
        ),
        (
            (API,), (f"{API}, hosts: [a.example]",), "narrows",
            ("every request for /api and everything else below it on every other host: was a valid "
            "token (route 'api'), is nobody"),
        ),
        (
            (f"{API}, methods: [GET]",), (f"{API}, methods: [GET, POST]",), "widens",
            ("POST of /api and everything else below it on any host: was nobody, is a valid token "
            "(route 'api')"),
        ),
        (
            (f"{API}, roles: [a]",), (f"{API}, scopes: [s]",), "widens",
            ("every request for /api and everything else below it on any host: was a valid token "
            "with the role a (route 'api'), is a valid token with the scopes s (route 'api') "
            "(some gain access, others lose it)"),
        ),
        (
            (API,), (f"{API}, csp: api",), "other",
            ("every request for /api and everything else below it on any host: another csp (was "
            "shell, is api)"),
        ),
        (
            (API,), (f"{API}, cors: p",), "widens",
            ("every request for /api and everything else below it on any host: another cors (was "
            "none, is p)"),
        ),
        (
            (API,), (f"{API}, keep_overrides: [x-real-ip]",), "widens",
            ("every request for /api and everything else below it on any host: x-real-ip reaches "
            "the application"),
        ),
        (
            (API,), (f"{API}, path_reading: exact",), "widens",
            ("every request for /api and everything else below it on any host: paths that lenient "
            "servers take for another route's are no longer denied"),
        ),
        (
            (f"{API}, binding: {{by: [dpop]}}",),
            (f"{API}, binding: {{by: [dpop], unbound: accept}}",), "widens",
            ("every request for /api and everything else below it on any host: was a valid token "
            "that is bound by dpop (route 'api'), is a valid token (bound by dpop too) (route "
            "'api')"),
        ),
        (
            (f"{API}, binding: {{by: [dpop, certificate]}}",),
            (f"{API}, binding: {{by: [dpop]}}",), "narrows",
            ("every request for /api and everything else below it on any host: was a valid token "
            "that is bound by certificate or dpop (route 'api'), is a valid token that is bound by "
            "dpop (route 'api')"),
        ),
        (
            (API,), (f"{API}, binding: {{by: [dpop]}}",), "widens",
            ("every request for /api and everything else below it on any host: was a valid token "
            "(route 'api'), is a valid token that is bound by dpop (route 'api') (some gain "
            "access, others lose it)"),
        ),
    ],
)  # fmt: skip
def test_a_difference_is_said_for_whom(
    old: tuple[str, ...], new: tuple[str, ...], effect: str, text: str
) -> None:
    assert found(old, new) == [(effect, text)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((API,), (API,)),
        ((API, OPEN), (OPEN, API)),
        ((API,), ("name: other, path_prefix: /api",)),
        ((API,), (API, "name: x, path: /api/x")),
        ((f"{API}, roles: [a, b]",), (f"{API}, roles: [b, a]",)),
        (("name: a, path: /%61",), ("name: a, path: /a",)),
    ],
)
def test_what_decides_alike_is_no_difference(old: tuple[str, ...], new: tuple[str, ...]) -> None:
    assert found(old, new) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"{API}, auth: optional", "everybody without a token, and a valid token"),
        (f"{API}, token_from: ['cookie:s']", "a valid token in cookie:s"),
        (f"{API}, clients: [a.example]", "a valid token with a client certificate of a.example"),
        (f"{OPEN}, clients: [a.example]", "a client certificate of a.example"),
        (f"{API}, shadow: true", "everybody (shadow: recorded as a valid token)"),
        (f"{API}, roles: [r], scopes: [s, t]", "a valid token with the role r and the scopes s, t"),
        (
            f"{API}, tenant: 7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11",
            "a valid token of tenant 7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11",
        ),
    ],
)
def test_who_passes_a_route_in_words(line: str, words: str) -> None:
    (route,) = compiled((line,))
    assert who(route) == words


def test_nobody_passes_where_there_is_no_route() -> None:
    assert who(None) == "nobody"


def passes(route: Route | None, has_token: bool) -> bool:
    return route is not None and (has_token or route.auth == "none")


@given(routes(), routes())
def test_access_widens_exactly_where_a_request_passes_that_did_not(
    old: list[Route], new: list[Route]
) -> None:
    before, after = RouteTable(old), RouteTable(new)
    asked = [(probe, token) for probe in PROBES for token in (True, False)]
    effects = {each.effect for each in route_differences(old, new)}
    gained = any(passes(after.match(*p), t) and not passes(before.match(*p), t) for p, t in asked)
    lost = any(passes(before.match(*p), t) and not passes(after.match(*p), t) for p, t in asked)
    assert (Effect.WIDENS in effects) == gained
    assert (Effect.NARROWS in effects) == lost
