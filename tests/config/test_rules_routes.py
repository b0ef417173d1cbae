"""Routes as they are written: their paths, and which methods they hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.authz.snapshot import compile_routes
from sidecar.common.errors import ConfigFault
from sidecar.config import parse_config
from tests.config.documents import MINIMAL, problems


def routes(*lines: str) -> str:
    head = MINIMAL.partition("  - {name: api")[0]
    return head + "".join(f"  - {{{line}}}\n" for line in lines)


ONE_FORM = [
    ("/users/@me", "/users/@me"),
    ("/users/%40me", "/users/@me"),
    ("/a%2bb%21", "/a+b!"),
    ("/caf%c3%a9", "/caf%C3%A9"),
    ("/%61pi", "/api"),
    ("/a%20b", "/a%20b"),
]
BAD = [
    ("/a;b", "has no canonical form (it holds a character that must be encoded, or a semicolon)"),
    ("/a%3Bb", "has no canonical form (it holds a semicolon, encoded)"),
    ("/a%2fb", "a slash, encoded"),
    ("/a/../b", "a dot segment"),
    ("/a//b", "an empty segment"),
    ("/a b", "must be encoded"),
    ("/a%2540", "encoded itself"),
    ("/a%", "a malformed escape"),
    ("/%C1%A1", "its escapes are not UTF-8"),
    ("/caf\u00e9", "must be encoded"),
    ("/a?b=c", "has a query, and routes are matched without it; an encoded ? is %3F"),
    ("a", "must be a path that begins with /"),
]


@pytest.mark.parametrize("setting", ["path", "path_prefix"])
@pytest.mark.parametrize(("written", "canonical"), ONE_FORM)
def test_a_path_is_matched_in_its_one_form(setting: str, written: str, canonical: str) -> None:
    config = parse_config(routes(f'name: a, {setting}: "{written}"'), "test")
    assert getattr(compile_routes(config)[0], setting) == canonical


@pytest.mark.parametrize("setting", ["path", "path_prefix"])
@pytest.mark.parametrize(("written", "said"), BAD)
def test_a_path_with_two_readings_is_a_problem(setting: str, written: str, said: str) -> None:
    (problem,) = problems(routes(f'name: a, {setting}: "{written}"'))
    assert problem.startswith(f"line 7: routes[0].{setting}: ")
    assert said in problem


@given(st.text(st.characters(blacklist_characters='\\"', min_codepoint=0x20), max_size=12))
def test_every_path_that_is_taken_compiles(tail: str) -> None:
    try:
        config = parse_config(routes(f'name: a, path: "/{tail}"'), "test")
    except ConfigFault:
        return
    compile_routes(config)


METHODS = [
    ("methods: [GET]", {"GET", "HEAD"}),
    ("methods: [GET, POST]", {"GET", "HEAD", "POST"}),
    ("methods: [GET], head_with_get: false", {"GET"}),
    ("methods: [GET, HEAD], head_with_get: false", {"GET", "HEAD"}),
    ("methods: [HEAD]", {"HEAD"}),
    ("methods: [POST]", {"POST"}),
    ("methods: []", set()),
]


@pytest.mark.parametrize(("written", "methods"), METHODS)
def test_get_includes_head(written: str, methods: set[str]) -> None:
    config = parse_config(routes(f"name: a, path: /a, {written}"), "test")
    assert compile_routes(config)[0].methods == methods


@pytest.mark.parametrize("methods", ["", "methods: [POST], "])
def test_head_is_refused_where_get_is_only(methods: str) -> None:
    (problem,) = problems(routes(f"name: a, path: /a, {methods}head_with_get: false"))
    assert "routes[0].head_with_get: needs GET among the methods" in problem


RULES: list[tuple[str, str, str]] = [
    ("both kinds of path", MINIMAL.replace("name: api", "name: api, path: /"), "routes[0]: needs"),
    ("no kind of path", MINIMAL.replace(", path_prefix: /", ""), "routes[0]: needs either"),
    ("route twice", MINIMAL + "  - {name: api, path: /a}\n", "'api' is used 2 times"),
    (
        "streams that end with a token that nobody reads",
        MINIMAL.replace("name: api", "name: api, auth: none, end_streams_with_token: true"),
        "routes[0].end_streams_with_token: has no effect",
    ),
    (
        "roles of nobody",
        MINIMAL.replace("name: api", "name: api, auth: none, roles: [admin]"),
        "routes[0]: requires roles, scopes or a tenant, and with auth: none no token is read",
    ),
    (
        "scopes of nobody",
        MINIMAL.replace("name: api", "name: api, auth: none, scopes: [read]"),
        "routes[0]: requires roles",
    ),
    (
        "bound tokens of nobody",
        MINIMAL.replace("name: api", "name: api, auth: none, binding: {by: [certificate]}"),
        "routes[0].binding: has no effect: with auth: none no token is read",
    ),
    (
        "proofs without the header in which their tokens come",
        MINIMAL.replace("name: api", "name: api, token_from: [websocket], binding: {by: [dpop]}"),
        "routes[0].binding.by: dpop needs header in token_from",
    ),
]


@pytest.mark.parametrize(("text", "said"), [r[1:] for r in RULES], ids=[r[0] for r in RULES])
def test_what_contradicts_itself_is_a_problem(text: str, said: str) -> None:
    (problem,) = problems(text)
    assert said in problem


@pytest.mark.parametrize("path", ["/users/{id}", "/users/<id>", "/(a|b)", "/[a-z]+", "^/api"])
def test_a_pattern_that_is_no_path_says_what_to_write(path: str) -> None:
    (found,) = problems(MINIMAL.replace("path_prefix: /", f"path: '{path}'"))
    assert "as path_prefix" in found or "must be a path that begins with /" in found
