"""The route table for the module: what a row says is what ``authz.routes`` decides by."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.authz.credential import TokenPlaces
from sidecar.authz.lenient import fold
from sidecar.authz.routes import Route, RouteTable
from sidecar.decision_cache.protocol import ALL_METHODS, METHODS, ROW, HostKind, PathKind, RowFlag
from sidecar.decision_cache.route_rows import EncodedTable, encode_table, repeats, scopes_of
from sidecar.limits.bucket import Limit
from sidecar.limits.policy import RouteLimits

LIMIT = (Limit("tenant", "tenant", 100, 1, 50),)
REPEATED = RowFlag.BODY_REPEATS | RowFlag.QUERY_REPEATS


class Row(NamedTuple):
    """One row as the module reads it."""

    scope: int
    flags: RowFlag
    methods: int
    host_kind: HostKind
    path_kind: PathKind
    host: str
    path: str
    fold: str

    def matches(self, method: str, host: str, path: str) -> bool:
        """Return whether the module would take this row."""
        hosts = {
            HostKind.ANY: True,
            HostKind.EXACT: host == self.host,
            HostKind.SUFFIX: host.endswith(self.host) and len(host) > len(self.host),
        }
        paths = {
            PathKind.EXACT: path == self.path,
            PathKind.PREFIX: path == self.path or path.startswith(f"{self.path}/"),
        }
        known = METHODS.get(method, 0) & self.methods
        return bool(known) and hosts[self.host_kind] and paths[self.path_kind]


def read(table: EncodedTable | None) -> list[Row]:
    assert table is not None

    def text(offset: int, length: int) -> str:
        return table.pool[offset : offset + length].decode()

    return [
        Row(
            row[0], RowFlag(row[1]), row[2], HostKind(row[3]), PathKind(row[4]),
            text(row[5], row[6]), text(row[8], row[7]), text(row[9], row[10]),
        )
        for row in ROW.iter_unpack(table.rows)
    ]  # fmt: skip


def route(name: str = "api", **fields: Any) -> Route:
    if "path" not in fields:
        fields.setdefault("path_prefix", "/api")
    return Route(name=name, auth=fields.pop("auth", "required"), **fields)


ROWS: dict[str, tuple[Route, list[Row]]] = {
    "any host": (
        route(),
        [Row(1, REPEATED, ALL_METHODS, HostKind.ANY, PathKind.PREFIX, "", "/api", "/api")],
    ),
    "a root": (
        route(path_prefix="/"),
        [Row(1, REPEATED, ALL_METHODS, HostKind.ANY, PathKind.PREFIX, "", "", "")],
    ),
    "hosts and methods": (
        route(path="/A.b/", hosts=("a.example", "*.b.example"), methods=frozenset({"GET", "PUT"})),
        [
            Row(1, REPEATED, 9, HostKind.EXACT, PathKind.EXACT, "a.example", "/A.b/", "/a.b"),
            Row(1, REPEATED, 9, HostKind.SUFFIX, PathKind.EXACT, ".b.example", "/A.b/", "/a.b"),
        ],
    ),
    "a tenant's limit": (
        route(limits=RouteLimits("api", tenant=LIMIT, only_tenant=True)),
        [Row(1, REPEATED, ALL_METHODS, HostKind.ANY, PathKind.PREFIX, "", "/api", "/api")],
    ),
    "only methods that are always asked for": (route(methods=frozenset({"OPTIONS"})), []),
    "cookies are read": (
        route(places=TokenPlaces(("header",), [b"session".decode()])),
        [
            Row(
                1, REPEATED | RowFlag.ASK_COOKIE, 63, HostKind.ANY, PathKind.PREFIX, "", "/api",
                "/api",
            )
        ],
    ),
    "origins are read": (
        route(cors="pages", reads_origin=True),
        [
            Row(
                1, REPEATED | RowFlag.ASK_ORIGIN, 63, HostKind.ANY, PathKind.PREFIX, "", "/api",
                "/api",
            )
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ROWS)
def test_a_route_has_a_row_for_each_host(case: str) -> None:
    given_route, rows = ROWS[case]
    assert read(encode_table([given_route])) == rows


ASKED: dict[str, dict[str, Any]] = {
    "no token is read": {"auth": "none"},
    "a nonce": {"nonce": True},
    "client certificates": {"clients": ("spiffe://example/web",)},
    "a cookie's token": {"token_from": ("cookie:session",)},
    "a websocket's token": {"token_from": ("header", "websocket")},
    "shadow mode": {"shadow": True},
    "a bundle": {"module": "signed"},
    "the stream's end": {"end_streams_with_token": True},
    "another limit": {"limits": RouteLimits("first", tenant=LIMIT, address=LIMIT)},
    "what remains is said": {"limits": RouteLimits("first", tenant=LIMIT, reports=True)},
}


@pytest.mark.parametrize("case", ASKED)
def test_what_can_not_be_repeated_keeps_its_place_and_is_asked_for(case: str) -> None:
    routes = [route("first", path_prefix="/api/a", **ASKED[case]), route()]
    first, second = read(encode_table(routes))
    assert (first.flags, first.scope) == (RowFlag.ASK, 0)
    assert second.flags == REPEATED
    assert not repeats(routes[0])
    assert scopes_of(routes) == {"api": 2}


PATHS = ("/", "/a", "/a/b", "/a/b/c", "/b", "/x")
HOSTS = ("*", "a.example", "*.example", "b.a.example")
routes_drawn = st.lists(
    st.builds(
        lambda prefix, path, hosts, methods: {
            "path_prefix" if prefix else "path": path,
            "hosts": tuple(hosts),
            "methods": frozenset(methods),
        },
        st.booleans(),
        st.sampled_from(PATHS),
        st.lists(st.sampled_from(HOSTS), min_size=1, max_size=2, unique=True),
        st.lists(st.sampled_from(["GET", "POST", "OPTIONS"]), max_size=2),
    ),
    min_size=1,
    max_size=6,
)


@given(
    drawn=routes_drawn,
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    host=st.sampled_from(["a.example", "b.a.example", "example", "c.test"]),
    path=st.sampled_from(["/", "/a", "/a/b", "/a/b/c/d", "/b/x", "/y"]),
)
def test_the_first_row_that_matches_is_the_routes(
    drawn: list[dict[str, Any]], method: str, host: str, path: str
) -> None:
    routes = [Route(name=str(at), auth="required", **each) for at, each in enumerate(drawn)]
    found = RouteTable(routes).match(method, host, path)
    rows = read(encode_table(routes))
    scope = next((row.scope for row in rows if row.matches(method, host, path)), None)
    assert scope == (None if found is None else scopes_of(routes)[found.name])


def test_each_text_stands_in_the_pool_once() -> None:
    table = encode_table([route(str(number), hosts=("a.example",)) for number in range(9)])
    assert table is not None
    assert table.pool.count(b"a.example") == table.pool.count(b"/api") == 1


@pytest.mark.parametrize("number", [1024, 1025])
def test_what_does_not_fit_is_no_table(number: int) -> None:
    table = encode_table([route(str(at)) for at in range(number)])
    assert (table is None) == (number > 1024)


def test_long_paths_fill_the_pool() -> None:
    many = [route(str(at), path_prefix=f"/{at}/{'x' * 2000}") for at in range(80)]
    assert encode_table(many) is None
    assert fold("/X/") == "/x"
