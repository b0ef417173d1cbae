"""Notes on a valid configuration."""

import pytest

from sidecar.authz.credential import TokenPlaces
from sidecar.authz.notes import notes
from sidecar.authz.routes import Route
from tests.authz.test_lenient import GET, anybody
from tests.authz.test_routes import route


def said(*routes: Route) -> list[str]:
    return [f"{problem.path[1]}: {problem.message}" for problem in notes(routes)]


def test_a_note_where_two_routes_differ_in_nothing_that_lenient_servers_see() -> None:
    admin = route("admin", path="/Admin")
    assert (
        "the path of route 'admin' only in" in said(admin, anybody("open", path_prefix="/admin"))[0]
    )
    assert said(admin, anybody("open", path="/Admin/"))[0].startswith("1: ")
    assert said(admin, route("again", path="/admin/")) == [], "they decide alike"
    assert said(admin, anybody("open", path="/admin", exact_paths=True)) == []
    assert said(admin, anybody("open", path="/admin", hosts=("a.example",))) != []
    one, two = (("a.example",), ("b.example",))
    assert said(route("a", path="/A", hosts=one), anybody("b", path="/a", hosts=two)) == []
    assert said(route("a", path_prefix="/a/"), anybody("b", path_prefix="/a", methods=GET)) == []
    assert said(route("a", path="/A", hosts=("*.x",)), anybody("b", path="/a", hosts=one)) != []


def reading(*places: str, count: int = 1) -> list[Route]:
    compiled = TokenPlaces(places, {"session"} if "cookie:session" in places else ())
    return [
        route(f"r{number}", path=f"/{number}", token_from=places, places=compiled)
        for number in range(count)
    ]


NEEDED = [
    ("the header alone", ("header",), 1, []),
    ("a cookie", ("cookie:session",), 1, ["r0 read tokens from cookie: Envoy must send it"]),
    (
        "a websocket's protocol",
        ("websocket",),
        1,
        ["r0 read tokens from sec-websocket-protocol: Envoy must send it"],
    ),
    ("five of them", ("cookie:session",), 5, ["r0, r1, r2, r3, r4 read tokens"]),
    ("six of them", ("cookie:session",), 6, ["r0, r1, r2, r3, r4 and 1 more read tokens"]),
]


@pytest.mark.parametrize(
    ("places", "count", "beginnings"), [row[1:] for row in NEEDED], ids=[row[0] for row in NEEDED]
)
def test_headers_that_envoy_must_send(
    places: tuple[str, ...], count: int, beginnings: list[str]
) -> None:
    messages = [problem.message for problem in notes(reading(*places, count=count))]
    assert len(messages) == len(beginnings)
    for message, beginning in zip(messages, beginnings, strict=True):
        assert message.startswith(beginning)
