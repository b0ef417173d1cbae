"""What lenient servers read alike, and what comes of it where routes differ."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.authz.lenient import MAX_RESPELT, fold
from sidecar.authz.routes import Route, RouteTable, covers
from sidecar.common.canonical import canonical_path
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from tests.authz.test_routes import route

ALIKE = [
    ("case", "/api/ADMIN", "/api/admin"),
    ("a slash at the end", "/api/admin/", "/api/admin"),
    ("both", "/Api/Admin/", "/api/admin"),
    ("a plus for a space", "/a+b", "/a%20b"),
    ("a dot at the end of a name", "/admin./x", "/admin/x"),
    ("a space at the end of a name", "/admin%20", "/admin"),
    ("cut at an encoded question mark", "/admin%3Fx", "/admin"),
    ("cut at an encoded number sign", "/admin%23x", "/admin"),
    ("case beyond ASCII", "/%C3%84rzte", "/%C3%A4rzte"),
    ("the Kelvin sign", "/%E2%84%AA", "/k"),
    ("the long s", "/acce%C5%BF%C5%BF", "/access"),
    ("sharp s", "/stra%C3%9Fe", "/STRASSE"),
    ("decomposed", "/cafe%CC%81", "/caf%C3%A9"),
    ("full width", "/%EF%BD%81dmin", "/admin"),
    ("a full-width slash", "/api%EF%BC%8Fadmin", "/api/admin"),
]
APART = [("/admin", "/admins"), ("/a/b", "/ab"), ("/a-b", "/a_b"), ("/%25", "/"), ("/a%22", "/a")]


@pytest.mark.parametrize(("one", "other"), [a[1:] for a in ALIKE], ids=[a[0] for a in ALIKE])
def test_what_folds_alike(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), APART)
def test_what_stays_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(st.text(max_size=12).map(lambda tail: "/" + tail))
def test_a_fold_of_a_fold_is_itself(text: str) -> None:
    try:
        path = canonical_path(text.encode("utf-8", "surrogatepass"))
    except Denied:
        return
    assert fold(fold(path)) == fold(path)


def anybody(name: str, **changes: object) -> Route:
    given = {"path_prefix": "/"} if not {"path", "path_prefix"} & changes.keys() else {}
    return Route(**{"name": name, "auth": "none", **given, **changes})  # type: ignore[arg-type]


TABLE = RouteTable(
    [
        anybody("docs", path="/docs"),
        route("root", path="/api/admin", roles=frozenset({"root"})),
        route("reports", path="/api/Reports/", scopes=frozenset({"reports"})),
        anybody("open", path_prefix="/api/public"),
        route("api", path_prefix="/api/"),
        route("read", path_prefix="/read", methods=frozenset({"GET"})),
        anybody("odd", path_prefix="/Readers", methods=frozenset({"POST"})),
        route("readers", path_prefix="/readers", methods=frozenset({"GET"})),
        route("own", path="/own/admin", roles=frozenset({"root"})),
        route("apart", path_prefix="/own", exact_paths=True),
        route("told", path="/told/admin", roles=frozenset({"root"}), exact_paths=True),
        anybody("files", path_prefix="/files", csp="static"),
        anybody("rest"),
    ]
)
AMBIGUOUS = None
FOUND = [
    ("as it is written", "/api/admin", "root"),
    ("case", "/api/ADMIN", AMBIGUOUS),
    ("a slash", "/api/admin/", AMBIGUOUS),
    ("both", "/api/Admin/", AMBIGUOUS),
    ("an extension", "/api/admin.json", AMBIGUOUS),
    ("two extensions", "/api/admin.tar.gz", AMBIGUOUS),
    ("a dot", "/api/admin.", AMBIGUOUS),
    ("an encoded query", "/api/admin%3Fx", AMBIGUOUS),
    ("another name", "/api/administrators", "api"),
    ("a file below", "/api/admin/x", "api"),
    ("a slash that the route has", "/api/Reports/", "reports"),
    ("and the path without it", "/api/Reports", AMBIGUOUS),
    ("in other letters", "/api/reports", AMBIGUOUS),
    ("a prefix in other letters", "/API/x", AMBIGUOUS),
    ("a prefix cut off", "/api%3Fx", AMBIGUOUS),
    ("a prefix with an extension", "/api.json", AMBIGUOUS),
    ("what is open below, as it is written", "/api/public/x", "open"),
    ("what is open below, in other letters, with more asked", "/api/PUBLIC/x", "api"),
    ("and what asks for as little", "/API/public/x", "rest"),
    ("all of it in other letters", "/API/PUBLIC/x", AMBIGUOUS),
    ("letters of a name that no route has", "/api/X/y", "api"),
    ("nothing is asked on either", "/Docs", "rest"),
    ("nor with a slash", "/docs/", "rest"),
    ("other headers on the answer", "/FILES/x", AMBIGUOUS),
    ("a route whose application tells apart", "/own/ADMIN", "apart"),
    ("but not in the prefix of another", "/OWN/admin", AMBIGUOUS),
    ("a stricter route whose application tells apart", "/told/ADMIN", "rest"),
    ("a decomposed prefix", "/a%CC%80pi", "rest"),
]


@pytest.mark.parametrize(("path", "name"), [f[1:] for f in FOUND], ids=[f[0] for f in FOUND])
def test_which_rule_holds_where_servers_may_differ(path: str, name: str | None) -> None:
    if name is not AMBIGUOUS:
        found = TABLE.find("GET", "x", path)
        assert found is not None
        assert found.name == name
        return
    with pytest.raises(Denied, match="path_reading: exact on route") as denied:
        TABLE.find("GET", "x", path)
    assert denied.value.reason is Reason.PATH_AMBIGUOUS


def test_routes_without_any_prefix() -> None:
    table = RouteTable([route("a", path="/a"), anybody("other", path="/A")])
    assert table.find("GET", "x", "/a") is not None
    with pytest.raises(Denied):
        table.find("GET", "x", "/A")


def test_a_prefix_of_many_segments() -> None:
    table = RouteTable([route("deep", path_prefix="/a/b/c/d"), anybody("rest")])
    for path in ("/a/b/c/D/x", "/A/b/c/d", "/a/B/c/d/"):
        with pytest.raises(Denied):
            table.find("GET", "x", path)


def test_a_rule_for_another_method_or_host_is_not_met() -> None:
    table = RouteTable(
        [
            route("a", path="/a", methods=frozenset({"PUT"})),
            route("b", path="/b", hosts=("one.example",)),
            anybody("rest"),
        ]
    )
    assert table.find("GET", "x", "/A") is not None
    assert table.find("GET", "two.example", "/B") is not None
    for method, host, path in (("PUT", "x", "/A"), ("GET", "one.example", "/B")):
        with pytest.raises(Denied):
            table.find(method, host, path)


def test_what_no_route_allows_in_its_own_spelling_is_not_allowed_in_another() -> None:
    with pytest.raises(Denied, match="one that no route allows"):
        RouteTable([anybody("a", path_prefix="/A"), route("b", path="/a/x", methods=GET)]).find(
            "POST", "x", "/A/x"
        )
    assert TABLE.find("POST", "x", "/nowhere") is not None
    assert RouteTable([anybody("a", path="/a")]).find("GET", "x", "/A") is None


GET = frozenset({"GET"})
FULL = route(
    "full",
    tenant="t",
    roles=frozenset({"a"}),
    scopes=frozenset({"s"}),
    token_from=("header",),
    clients=("c",),
    module="signed",
)
WEAKER = [
    {"auth": "optional"},
    {"auth": "none"},
    {"tenant": None},
    {"tenant": "u"},
    {"roles": frozenset()},
    {"roles": frozenset({"a", "b"})},
    {"scopes": frozenset()},
    {"scopes": frozenset({"u"})},
    {"token_from": ("header", "cookie:s")},
    {"clients": ()},
    {"clients": ("c", "d")},
    {"shadow": True},
    {"module": None},
    {"module": "unsigned_by_owner"},
    {"csp": "static"},
    {"nonce": True},
    {"cors": "anyone"},
    {"keep_overrides": frozenset({"x-forwarded-host"})},
]
STRICTER = [
    {"name": "x", "path_prefix": "/x", "methods": GET, "hosts": ("x",)},
    {"scopes": frozenset({"s", "t"})},
]


def said(change: dict[str, object]) -> str:
    """Name a row; a set in one order, for every process of a run collects the same tests."""
    return repr({k: sorted(v) if isinstance(v, frozenset) else v for k, v in change.items()})


@pytest.mark.parametrize("change", WEAKER, ids=said)
def test_a_weaker_rule_covers_no_stricter_one(change: dict[str, object]) -> None:
    weaker = Route(**{**{f: getattr(FULL, f) for f in Route.__struct_fields__}, **change})
    assert not covers(weaker, FULL)
    assert covers(FULL, FULL)


@pytest.mark.parametrize("change", STRICTER, ids=said)
def test_a_rule_that_asks_for_more_covers(change: dict[str, object]) -> None:
    stricter = Route(**{**{f: getattr(FULL, f) for f in Route.__struct_fields__}, **change})
    assert covers(stricter, FULL)
    assert covers(FULL, anybody("x")), "what is asked and not needed does no harm"
    assert covers(anybody("x", shadow=True), anybody("y", shadow=True))


@pytest.mark.quiet
def test_it_stays_cheap_however_long_the_path_and_however_many_the_spellings() -> None:
    spellings = [f"/{number:014b}".replace("0", "a").replace("1", "A") for number in range(10_000)]
    table = RouteTable([*(anybody(s, path=s) for s in spellings), anybody("rest")])
    paths = ["/" + "a" * 14 + "/", "/A" * 4000, "/" + "%EF%B7%BA" * 900, "/" + ".a" * 4000]
    for path in paths:
        started = time.perf_counter()
        try:
            table.find("GET", "x", path)
        except Denied as denied:
            assert "spellings" in denied.detail  # noqa: PT017 - two of the four are refused
        assert time.perf_counter() - started < 0.1
    assert MAX_RESPELT < 100
