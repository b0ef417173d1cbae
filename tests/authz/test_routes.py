"""Routes: the first that matches, found without comparing them all."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.authz.routes import Route, RouteTable


def route(name: str, **changes: object) -> Route:
    given = {"path_prefix": "/"} if not {"path", "path_prefix"} & changes.keys() else {}
    return Route(name=name, auth="required", **{**given, **changes})  # type: ignore[arg-type]


TABLE = RouteTable(
    [
        route("health", path="/health", methods=frozenset({"GET"})),
        route("acme", hosts=("shop.acme.example",), path_prefix="/api"),
        route("any-tenant", hosts=("*.example", "example"), path_prefix="/api/"),
        route("deep", path_prefix="/a/b/c"),
        route("shallow", path_prefix="/a"),
        route("never", path_prefix="/a/b"),
        route("rest", hosts=("*.example",)),
    ]
)
MATCHES = [
    ("exact path", "GET", "x", "/health", "health"),
    ("exact path is not a prefix", "GET", "x", "/health/", None),
    ("method", "POST", "x", "/health", None),
    ("methods are case-sensitive", "get", "x", "/health", None),
    ("exact host first", "GET", "shop.acme.example", "/api/1", "acme"),
    ("wildcard host", "GET", "other.example", "/api", "any-tenant"),
    ("wildcard at any depth", "GET", "a.b.c.example", "/api", "any-tenant"),
    ("a wildcard is not its own suffix", "GET", "notexample", "/api", None),
    ("host without wildcard", "GET", "example", "/api", "any-tenant"),
    ("prefix by whole segments", "GET", "example", "/apis", None),
    ("order beats length", "GET", "x", "/a/b", "shallow"),
    ("the longer one stands first", "GET", "x", "/a/b/c/d", "deep"),
    ("fall through to the host's rest", "GET", "a.example", "/zzz", "rest"),
    ("no route", "GET", "x", "/zzz", None),
]


@pytest.mark.parametrize(
    ("method", "host", "path", "name"), [m[1:] for m in MATCHES], ids=[m[0] for m in MATCHES]
)
def test_matches(method: str, host: str, path: str, name: str | None) -> None:
    found = TABLE.match(method, host, path)
    assert (found.name if found else None) == name


def naive(routes: list[Route], method: str, host: str, path: str) -> Route | None:
    """The definition: search the list, take the first."""
    for each in routes:
        hosts = any(
            pattern in {"*", host} or (pattern[:2] == "*." and host.endswith(pattern[1:]))
            for pattern in each.hosts
        )
        prefix = (each.path_prefix or "").rstrip("/")
        paths = path == each.path or (
            each.path_prefix is not None and (path == prefix or path.startswith(prefix + "/"))
        )
        if hosts and paths and (not each.methods or method in each.methods):
            return each
    return None


PATHS = st.lists(st.sampled_from("abc"), max_size=4).map(lambda parts: "/" + "/".join(parts))
HOSTS = st.sampled_from(["*", "*.e", "*.a.e", "a.e", "b.a.e", "e"])
ROUTES = st.builds(
    lambda hosts, methods, path, exact: (tuple(hosts), frozenset(methods), path, exact),
    st.lists(HOSTS, min_size=1, max_size=2, unique=True),
    st.sets(st.sampled_from(["GET", "POST"])),
    PATHS,
    st.booleans(),
)


@given(
    st.lists(ROUTES, max_size=8),
    st.sampled_from(["GET", "POST"]),
    HOSTS.filter(lambda h: h[0] != "*"),
    PATHS,
)
def test_it_is_the_first_of_the_list(rules: list, method: str, host: str, path: str) -> None:  # type: ignore[type-arg]
    routes = [
        Route(
            name=f"r{number}",
            auth="none",
            hosts=hosts,
            methods=methods,
            path=where if exact else None,
            path_prefix=None if exact else where,
        )
        for number, (hosts, methods, where, exact) in enumerate(rules)
    ]
    assert RouteTable(routes).match(method, host, path) == naive(routes, method, host, path)


@pytest.mark.quiet
def test_ten_thousand_routes_cost_no_more_than_ten() -> None:
    def microseconds(count: int) -> float:
        table = RouteTable(route(f"r{n}", path_prefix=f"/s{n}/x") for n in range(count))
        best = float("inf")
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(1000):
                table.match("GET", "h", f"/s{count - 1}/x/y")
            best = min(best, time.perf_counter() - started)
        return best

    assert microseconds(10_000) < 10 * microseconds(10)


@pytest.mark.quiet
def test_a_path_of_thousands_of_segments_is_cut_at_the_configured_depth() -> None:
    started = time.perf_counter()
    assert TABLE.match("GET", "x", "/q" * 4000) is None
    assert time.perf_counter() - started < 0.01
