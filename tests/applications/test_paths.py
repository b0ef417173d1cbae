"""One decision for every spelling of a path that some server reads as one (docs/decisions/0004)."""

from collections.abc import Iterator

import pytest

from tests.applications.edge import START, Edge, Reply
from tests.applications.servers import Applications

pytestmark = pytest.mark.real
CONFIG = f"""\
{START}routes:
  - {{name: signs, path_prefix: /assets2/@admin, roles: [root]}}
  - {{name: root, path: /api/admin, roles: [root]}}
  - {{name: api, path_prefix: /api}}
  - {{name: exact, path_prefix: /users, path_reading: exact, auth: none}}
  - {{name: read, path_prefix: /read, methods: [GET], auth: none}}
  - {{name: get, path_prefix: /get, methods: [GET], head_with_get: false, auth: none}}
  - {{name: write, path_prefix: /write, methods: [POST], auth: none}}
  - {{name: rest, path_prefix: /assets, auth: none}}
  - {{name: rest2, path_prefix: /assets2, auth: none}}
  - {{name: upper, path_prefix: /API, auth: none}}
"""
SERVERS = (
    "wsgiref",
    "uvicorn",
    "php",
    "express",
    "node",
    "nginx",
    "lighttpd",
    "puma",
    "go",
    "tomcat",
)


@pytest.fixture(scope="module")
def edge(applications: Applications, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    running = [found for name in SERVERS if (found := applications.find(name))]
    with Edge(CONFIG, running, tmp_path_factory.mktemp("paths")) as started:
        yield started
    assert started.faults == []


SIGNS = [
    "/assets2/@admin/x", "/assets2/%40admin/x", "/assets2/%40%61dmin/x", "/assets2/./@admin/x",
    "/assets2//@admin/x", "/assets2/y/../@admin/x", "/assets2/%2e/@admin/x", "/assets2/@admin%2fx",
    "/assets2%2f@admin/x", "/assets2/@admin;a/x", "/assets2/@admin%3b/x", "/assets2/%2540admin/x",
    "/assets2/@admin%00/x", "/assets2/@admin\\x", "/assets2/@ADMIN/x", "/ASSETS2/@admin/x",
    "/assets2/@admin./x", "/assets2/@admin%20/x", "/assets2/@admin", "/assets2/%40admin",
]  # fmt: skip


@pytest.mark.parametrize("path", SIGNS)
@pytest.mark.parametrize("name", SERVERS)
def test_no_spelling_of_a_sign_reaches_what_another_is_kept_from(
    name: str, path: str, applications: Applications, edge: Edge
) -> None:
    applications.get(name)
    for headers in ((), (edge.token(),)):
        reply = edge.ask(name, path, headers)
        assert reply.status in {400, 401, 403}, reply.told
        assert reply.told == {}


@pytest.mark.parametrize("path", ["/assets2/@admin/x", "/assets2/%40admin/x"])
@pytest.mark.parametrize("name", ["wsgiref", "go"])
def test_both_spellings_are_one_to_these_servers_and_pass_alike(
    name: str, path: str, applications: Applications, edge: Edge
) -> None:
    applications.get(name)
    reply = edge.ask(name, path, [edge.token(roles=["root"])])
    assert (reply.status, reply.told["handler"]) == (200, "admin")


@pytest.mark.parametrize("name", SERVERS)
def test_a_legitimate_escape_arrives_as_it_was_sent(
    name: str, applications: Applications, edge: Edge
) -> None:
    applications.get(name)
    reply = edge.ask(name, "/users/foo%40bar.example")
    assert reply.status == 200
    assert reply.told["path"] in {"/users/foo@bar.example", "/users/foo%40bar.example"}
    if name == "express":
        assert reply.told["params"] == {"name": "foo@bar.example"}
        assert reply.told["path"] == "/users/foo%40bar.example", "forwarded untouched"


EXPRESS = [
    "/api/admin", "/api/ADMIN", "/api/admin/", "/api/Admin/", "/API/admin", "/API/ADMIN/",
    "/api/%61dmin", "/api/%41dmin", "/api/admin%2f", "/api/admin?x", "/api/ADMIN?x=/",
    "/Api/x/../admin",
    "/API/%61DMIN/?a",
]  # fmt: skip


def handler(reply: Reply) -> str:
    return str(reply.told.get("handler", reply.reason))


@pytest.mark.parametrize("path", EXPRESS)
def test_express_runs_its_handler_for_those_alone_who_may(
    path: str, applications: Applications, edge: Edge
) -> None:
    """Express ignores the letters' case and a slash at the end; the route does not."""
    applications.get("express")
    for headers in ((), (edge.token(roles=["guest"]),)):
        assert handler(edge.ask("express", path, headers)) != "admin"
    assert handler(edge.ask("express", "/api/admin", [edge.token(roles=["root"])])) == "admin"


@pytest.mark.parametrize("path", ["/api/ADMIN", "/api/admin/", "/api/admin.json"])
def test_a_spelling_that_express_may_read_so_is_ambiguous(
    path: str, applications: Applications, edge: Edge
) -> None:
    applications.get("express")
    reply = edge.ask("express", path, [edge.token(roles=["root"])])
    assert (reply.status, reply.reason) == (400, "path_ambiguous")


def test_other_paths_of_any_case_go_on_working(applications: Applications, edge: Edge) -> None:
    applications.get("express")
    for path in ("/assets/README.md", "/assets/", "/assets/a+b", "/api/Orders/"):
        assert edge.ask("express", path, [edge.token()]).status == 200, path


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/read/x", 200),
        ("HEAD", "/read/x", 200),
        ("POST", "/read/x", 403),
        ("GET", "/get/x", 200),
        ("HEAD", "/get/x", 403),
        ("HEAD", "/write/x", 403),
        ("OPTIONS", "/read/x", 403),
    ],
)
def test_who_may_get_may_ask_for_the_head(
    method: str, path: str, status: int, applications: Applications, edge: Edge
) -> None:
    applications.get("node")
    reply = edge.ask("node", path, method=method)
    assert reply.status == status
    if method == "HEAD":
        assert reply.body == ""
