"""Routes that no request reaches, and stricter ones behind wider ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.authz.reach import warnings_of_routes
from sidecar.authz.routes import Route, RouteTable, at_least_as_strict
from sidecar.authz.snapshot import compile_routes
from sidecar.config import parse_config
from tests.config.documents import MINIMAL

START = MINIMAL.partition("routes:")[0] + "routes:\n"


def warnings(*routes: str) -> list[tuple[int | str, str]]:
    config = parse_config(START + "".join(f"  - {{{route}}}\n" for route in routes), "test")
    return [(each.path[1], each.message) for each in warnings_of_routes(compile_routes(config))]


API = "name: api, path_prefix: /api"
ADMIN = "name: admin, path_prefix: /api/admin, roles: [root]"
OPEN = "name: open, path_prefix: /, auth: none"


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        ((API, ADMIN), "reaches 'admin': all of its requests are decided by route 'api'"),
        ((API, ADMIN), "'api' asks for less, so what 'admin' requires has no effect: write"),
        ((OPEN, API), "no request reaches 'api'"),
        ((API, "name: again, path_prefix: /api/x"), "answers the same: remove 'again'"),
        ((API, "name: csp, path: /api/x, csp: api"), "write 'csp' before 'api', or remove it"),
        ((API, "name: leaf, path: /api/x, scopes: [s]"), "no request reaches 'leaf'"),
        ((API, "name: one, hosts: [a.example], path_prefix: /api, roles: [r]"), "reaches 'one'"),
        (
            (f"{API}, hosts: ['*.example']", f"{ADMIN}, hosts: [a.b.example, '*.b.example']"),
            "no request reaches 'admin'",
        ),
        (
            (
                f"{API}, methods: [GET]",
                "name: api2, path_prefix: /api, methods: [POST]",
                f"{ADMIN}, methods: [GET, POST]",
            ),
            "all of its requests are decided by routes 'api', 'api2' before it",
        ),
        (
            (f"{API}, methods: [GET]", ADMIN),
            "GET, HEAD requests of 'admin' are decided by route 'api' before it, which asks",
        ),
        (
            (f"{API}, hosts: [a.example]", f"{ADMIN}, hosts: [a.example, b.example]"),
            "requests of some hosts of 'admin' are decided by route 'api'",
        ),
    ],
)  # fmt: skip
def test_a_route_without_effect_is_a_warning(routes: tuple[str, ...], said: str) -> None:
    ((index, message),) = warnings(*routes)
    assert index == len(routes) - 1
    assert said in message


@pytest.mark.parametrize(
    "routes",
    [
        (ADMIN, API, OPEN),
        (f"{API}, hosts: [a.example]", f"{ADMIN}, hosts: [b.example]"),
        (f"{API}, methods: [GET]", f"{ADMIN}, methods: [POST]"),
        ("name: a, path: /api", ADMIN),
        ("name: a, path_prefix: /api/ad", ADMIN),
        # Reading is public, writing is not: written so on purpose.
        ("name: read, path_prefix: /x, methods: [GET], auth: none", "name: write, path_prefix: /x"),
        # Who reaches the wider route satisfies the narrower one.
        (f"{API}, roles: [root], methods: [GET]", ADMIN),
    ],
)
def test_what_is_meant_is_no_warning(routes: tuple[str, ...]) -> None:
    assert warnings(*routes) == []


PATHS = ("/", "/a", "/a/b", "/c")
HOSTS = ("*", "*.x.example", "h.x.example", "y.example")
PROBES = [
    (method, host, path)
    for method in ("GET", "POST", "PATCH")
    for host in ("h.x.example", "i.x.example", "y.example", "z.example")
    for path in (*PATHS, "/a/", "/a/b/d", "/c/e", "/q", "/a/q")
]


@st.composite
def routes(draw: st.DrawFn) -> list[Route]:
    made = []
    for number in range(draw(st.integers(1, 6))):
        path, is_prefix = draw(st.sampled_from(PATHS)), draw(st.booleans())
        made.append(
            Route(
                name=str(number),
                auth=draw(st.sampled_from(["required", "none"])),
                hosts=tuple(draw(st.sets(st.sampled_from(HOSTS), min_size=1, max_size=2))),
                methods=draw(st.frozensets(st.sampled_from(["GET", "POST"]))),
                path=None if is_prefix else path,
                path_prefix=path if is_prefix else None,
            )
        )
    return made


@given(routes())
def test_exactly_those_routes_are_unreachable_that_the_table_never_finds(made: list[Route]) -> None:
    table = RouteTable(made)
    found = {route.name for probe in PROBES if (route := table.match(*probe)) is not None}
    said = {
        made[int(each.path[1])].name
        for each in warnings_of_routes(made)
        if each.message.startswith("no request reaches")
    }
    assert said == {route.name for route in made} - found


@given(routes())
def test_a_partial_warning_names_a_weaker_route_that_decides_some_of_its_requests(
    made: list[Route],
) -> None:
    table = RouteTable(made)
    for each in warnings_of_routes(made):
        if " are decided by route " in each.message and not each.message.startswith("no request"):
            route = made[int(each.path[1])]
            name = each.message.partition("decided by route '")[2].partition("'")[0]
            assert not at_least_as_strict(made[int(name)], route)
            own = RouteTable([route])
            assert any(
                own.match(*probe) is not None
                and (found := table.match(*probe)) is not None
                and found.name == name
                for probe in PROBES
            )
