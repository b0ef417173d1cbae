"""The credential that an application finds is the one that was verified, or there is none."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.applications.edge import START, Edge, Reply, keep_back
from tests.applications.servers import Applications
from tests.authz.test_credential import QUERIES, SPELLINGS

pytestmark = pytest.mark.real
CONFIG = f"""\
{START}routes:
  - {{name: cookie, path_prefix: /cookie, token_from: ["cookie:session"]}}
  - {{name: either, path_prefix: /either, token_from: [header, "cookie:session"]}}
  - {{name: optional, path_prefix: /optional, auth: optional}}
  - {{name: socket, path_prefix: /socket, token_from: [websocket]}}
  - {{name: public, path_prefix: /public, auth: none}}
  - {{name: header, path_prefix: /header}}
"""
READERS = ("express", "php", "uvicorn", "wsgiref", "puma", "go", "tomcat")
"""Each reads cookies by rules of its own: npm's cookie, PHP, http.cookies, Rack, Go, Tomcat."""
HANDSHAKE = (
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
)


NOTHING: tuple[str, ...] = ()


@pytest.fixture(scope="module", params=[NOTHING, ("cookie", "sec-websocket-protocol")], ids=str)
def kept_back(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The headers that Envoy does not send to the sidecar."""
    names: tuple[str, ...] = request.param
    return names


@pytest.fixture(scope="module")
def edge(
    kept_back: tuple[str, ...],
    applications: Applications,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    running = [found for name in (*READERS, "node") if (found := applications.find(name))]
    folder = tmp_path_factory.mktemp("credentials")
    keep = partial(keep_back, names=kept_back)
    with Edge(CONFIG, running, folder, change=keep) as started:
        yield started
    assert started.faults == []


def token(edge: Edge) -> str:
    return edge.token()[1].removeprefix("Bearer ")


def assert_nothing_else_found(reply: Reply, good: str) -> None:
    """Whatever the server reads as the session is what was verified."""
    sessions = {
        name: value for name, value in reply.told["cookies"].items() if "session" in name.lower()
    }
    assert set(sessions.values()) <= {good}, sessions


@pytest.mark.parametrize("name", READERS)
def test_no_spelling_of_a_cookie_is_found_in_place_of_the_verified_one(
    name: str, applications: Applications, edge: Edge, kept_back: tuple[str, ...]
) -> None:
    applications.get(name)
    good = token(edge)
    for spelling in SPELLINGS:
        forged = spelling.decode("latin-1")
        if "\x0b" in forged:
            continue  # Envoy refuses it itself
        for value in (f"{forged}; session={good}", f"session={good}; {forged}", forged):
            for path, headers in (("/cookie", ()), ("/header", (edge.token(),))):
                reply = edge.ask(name, path, [("cookie", value), *headers])
                if reply.status == 200:
                    assert path == "/header"
                    assert_nothing_else_found(reply, "")
                elif path == "/cookie" and not kept_back:
                    assert reply.reason == "token_ambiguous", value


@pytest.mark.parametrize("name", READERS)
def test_the_verified_cookie_arrives_with_the_others(
    name: str, applications: Applications, edge: Edge, kept_back: tuple[str, ...]
) -> None:
    applications.get(name)
    good = token(edge)
    reply = edge.ask(name, "/cookie", [("cookie", f"theme=dark; session={good}")])
    if kept_back:
        assert reply.reason == "token_missing"
        return
    assert reply.told["cookies"] == {"theme": "dark", "session": good}
    cookies = [("cookie", f"theme=dark; session={good}; lang=en")]
    reply = edge.ask(name, "/header", [edge.token(), *cookies])
    assert reply.told["cookies"] == {"theme": "dark", "lang": "en"}
    two_lines = [("cookie", "theme=dark"), ("cookie", "session =F"), edge.token()]
    assert "session" not in str(edge.ask(name, "/header", two_lines).told["cookies"])


ROWS = [
    ("a header and a cookie", "/either", ("header", "cookie")),
    ("a header where a cookie is read", "/cookie", ("header", "cookie")),
    ("another scheme", "/cookie", ("basic", "cookie")),
    ("a subprotocol beside a header", "/header", ("header", "protocol")),
    ("a subprotocol alone", "/header", ("protocol",)),
    ("a subprotocol beside a cookie", "/cookie", ("cookie", "protocol")),
    ("a header where a subprotocol is read", "/socket", ("header", "protocol")),
    ("two headers", "/header", ("header", "header")),
    ("nothing but a cookie", "/optional", ("cookie",)),
]


@pytest.mark.parametrize(("path", "sent"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
@pytest.mark.parametrize("name", ["node", "uvicorn"])
def test_two_places(
    name: str, path: str, sent: tuple[str, ...], applications: Applications, edge: Edge
) -> None:
    """Refused; or, where Envoy keeps one back, that one does not arrive."""
    applications.get(name)
    good = token(edge)
    headers = {
        "header": edge.token(),
        "basic": ("authorization", "Basic YTpi"),
        "cookie": ("cookie", f"session={good}"),
        "protocol": ("sec-websocket-protocol", f"chat, bearer.{good}"),
    }
    given = [headers[each] for each in sent]
    if "protocol" in sent:
        given += HANDSHAKE
    reply = edge.ask(name, path, given)
    if not kept_back and sent != ("cookie",):
        assert (reply.status, reply.reason) == (400, "token_ambiguous")
    elif reply.status in {101, 200}:
        assert good not in reply.body.replace(f"Bearer {good}", "")
    else:
        assert reply.reason in {"token_missing", "token_ambiguous"}


def test_a_token_in_the_query_is_not_a_second_one(applications: Applications, edge: Edge) -> None:
    applications.get("node")
    for query in QUERIES:
        path = f"/header/x?{query.decode()}"
        assert edge.ask("node", path, [edge.token()]).reason == "token_ambiguous", path
        assert edge.ask("node", path).reason == "token_missing", path


def test_where_no_token_is_read_credentials_are_the_applications(
    applications: Applications, edge: Edge
) -> None:
    """An identity provider behind the edge authenticates its clients itself."""
    applications.get("node")
    sent = [("authorization", "Basic YTpi"), ("cookie", "session=own")]
    seen = edge.ask("node", "/public/oauth/token", sent).told["seen"]
    assert (seen["authorization"], seen["cookie"]) == ("Basic YTpi", "session=own")
    assert "x-tenant-id" not in seen
