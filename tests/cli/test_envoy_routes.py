"""Which of the sidecar's routes Envoy must know, and by what."""

import itertools
import re
from functools import cache
from typing import Any

import pytest
import yaml

from sidecar.authz.routes import Route, RouteTable
from sidecar.authz.snapshot import compile_routes
from sidecar.cli.envoy_routes import _matches, _may_meet, route_lines
from sidecar.config import parse_config
from tests.config.documents import MINIMAL

HOSTS = ["*", "a.example", "b.example", "*.example", "*.a.example"]
PATHS = ["path: /a", "path: /a/b", "path_prefix: /", "path_prefix: /a", "path_prefix: /a/"]
METHODS = ["", ", methods: [POST]", ", methods: [GET]"]


def compiled(*routes: str, more: str = "") -> tuple[Route, ...]:
    listed = "".join(f"  - {{name: r{n}, {each}}}\n" for n, each in enumerate(routes))
    return compile_routes(
        parse_config(f"{MINIMAL.partition('routes:')[0]}routes:\n{listed}{more}", "test")
    )


ALL = [
    f"{path}, hosts: ['{host}']{methods}"
    for path, host, methods in itertools.product(PATHS, HOSTS, METHODS)
]
REQUESTS = [
    (method, host, path)
    for method in ("GET", "HEAD", "POST", "PUT")
    for host in ("a.example", "b.example", "x.a.example", "other")
    for path in ("/", "/a", "/a/", "/a/b", "/a/b/c", "/ab")
]


def taken(route: Route) -> set[tuple[str, str, str]]:
    table = RouteTable([route])
    return {request for request in REQUESTS if table.match(*request) is not None}


def test_routes_that_take_one_request_are_never_thought_apart() -> None:
    """By the sidecar's own table of routes, for each pair of many."""
    routes = compiled(*ALL)
    requests = [taken(each) for each in routes]
    meeting = 0
    for (one, its), (other, others) in itertools.combinations(
        zip(routes, requests, strict=True), 2
    ):
        if its & others:
            meeting += 1
            assert _may_meet(one, other), (one.name, other.name)
            assert _may_meet(other, one)
    assert 100 < meeting < len(routes) ** 2 / 2
    apart = compiled("path: /a", "path: /b", "path_prefix: /a/b", "path_prefix: /ab")
    assert not any(_may_meet(a, b) for a, b in itertools.combinations(apart, 2))


def test_envoy_s_match_is_the_sidecar_s() -> None:
    """Envoy's rules of ``path``, ``path_separated_prefix`` and ``safe_regex``, in Python's."""
    for route in compiled(*ALL):
        made = list(_matches(route))
        assert {r for r in REQUESTS if any(matches(each, *r) for each in made)} == taken(route)


@cache
def read(text: str) -> Any:
    return yaml.safe_load(text)


def matches(text: str, method: str, host: str, path: str) -> bool:
    match = read(text)
    if prefix := match.get("path_separated_prefix"):
        fits = path == prefix or path.startswith(f"{prefix}/")
    else:
        fits = path == match["path"] if "path" in match else path.startswith(match["prefix"])
    values = {":authority": host, ":method": method}
    return fits and all(
        re.fullmatch(each["string_match"]["safe_regex"]["regex"], values[each["name"]])
        for each in match.get("headers", [])
    )


@pytest.mark.parametrize(
    ("routes", "written"),
    [
        (("path_prefix: /",), []),
        (("path: /a", "path: /b", "path_prefix: /"), []),
        (("path: /a, keep_overrides: [dpop], binding: {by: [dpop]}",), []),
        (("path: /a, keep_overrides: [x-http-method-override]", "path: /b"), ["r0"]),
        (("path: /a/b", "path: /b", "path_prefix: /a, keep_overrides: [x-host]", "path: /a/c"),
         ["r0", "r2"]),
    ],
)  # fmt: skip
def test_routes_that_need_nothing_are_not_written(
    routes: tuple[str, ...], written: list[str]
) -> None:
    listed = "".join(f"  - {{name: r{n}, {each}}}\n" for n, each in enumerate(routes))
    config = parse_config(f"{MINIMAL.partition('routes:')[0]}routes:\n{listed}", "test")
    lines = list(route_lines(config, compile_routes(config), "{}"))
    assert [line.strip(" #") for line in lines if re.fullmatch(r" *# r\d", line)] == written
    assert sum("&to_application" in line for line in lines) == 1, "whichever is the first"
    assert lines[-1].strip() == "route: *to_application" or not written


def test_many_hosts_are_several_patterns_that_re2_compiles() -> None:
    hosts = [f"{'h' * 60}{n}.example" for n in range(200)]
    (route,) = compiled(f"path: /a, hosts: [{', '.join(hosts)}]")
    made = list(_matches(route))
    assert len(made) > 5
    assert all(len(each) < 2500 for each in made)
    for host in hosts:
        assert sum(matches(each, "GET", host, "/a") for each in made) == 1
    assert not any(matches(each, "GET", "other.example", "/a") for each in made)


def test_thousands_of_routes_take_no_time() -> None:
    routes = [f"path: /{n}" for n in range(1500)]
    special = "path_prefix: /1499, keep_overrides: [x-host]"
    config_routes = compiled(*routes, special)
    config = parse_config(MINIMAL, "test")
    names = [each for each in route_lines(config, config_routes, "{}") if "# r" in each]
    assert [each.split()[1] for each in names] == ["r1499", "r1500"]
