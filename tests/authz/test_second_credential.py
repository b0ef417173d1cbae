"""A second credential, asked of the whole service: the fast path looks as the slow one does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.authz.snapshot import build_snapshot
from sidecar.config import parse_config
from tests.authz.checks import Answer, check_request, read_answer
from tests.authz.conftest import CONFIG as BASE
from tests.authz.conftest import Bench
from tests.authz.test_response_cache import ISSUER, Witness
from tests.support.minting import TENANT

CONFIG = BASE.replace(
    "headers:\n",
    """\
  - {name: cookie, path_prefix: /cookie, token_from: ["cookie:session"]}
  - {name: socket, path_prefix: /socket, token_from: [websocket]}
  - {name: shadow, path_prefix: /shadow, shadow: true}
headers:
""",
)
SNAPSHOT = build_snapshot(parse_config(CONFIG, "test"), ISSUER.ring)
TOKEN = ISSUER.mint().decode()
BEARER = {"authorization": f"Bearer {TOKEN}"}


def witness() -> Witness:
    made = Witness()
    made.service.snapshot = SNAPSHOT
    return made


def asked(path: str, **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return check_request(path=path, host="app.example", headers=named)


ROWS: list[tuple[str, str, dict[str, str], str]] = [
    ("the token alone", "/api/x", BEARER, "token_verified"),
    ("a session of another route", "/api/x", {**BEARER, "cookie": "session=F"}, "token_verified"),
    ("an encoded name", "/api/x", {**BEARER, "cookie": "a=b; sess%69on=F"}, "token_verified"),
    ("other cookies", "/api/x", {**BEARER, "cookie": "a=b; c=d"}, "token_verified"),
    (
        "a subprotocol",
        "/api/x",
        {**BEARER, "sec-websocket-protocol": "bearer.F"},
        "token_ambiguous",
    ),
    ("no token in it", "/api/x", {**BEARER, "sec-websocket-protocol": "chat"}, "token_verified"),
    ("the query", "/api/x?access_token=F", BEARER, "token_ambiguous"),
    ("the query, encoded", "/api/x?a=%20&access%5ftoken=F", BEARER, "token_ambiguous"),
    ("a query", "/api/x?a=b", BEARER, "token_verified"),
    ("the query alone", "/api/x?access_token=F", {}, "token_missing"),
    ("the query, where a token is optional", "/either?access_token=F", {}, "token_ambiguous"),
    ("a cookie, where a token is optional", "/either", {"cookie": "session=F"}, "anonymous"),
    ("nothing, where a token is optional", "/either", {}, "anonymous"),
    (
        "both, on a cookie's route",
        "/cookie",
        {**BEARER, "cookie": f"session={TOKEN}"},
        "token_ambiguous",
    ),
    ("a cookie on its route", "/cookie", {"cookie": f"a=b; session={TOKEN}"}, "token_verified"),
    (
        "a forged one beside it",
        "/cookie",
        {"cookie": f"session =F; session={TOKEN}"},
        "token_ambiguous",
    ),
    (
        "a cookie on a socket's route",
        "/socket",
        {"sec-websocket-protocol": f"bearer.{TOKEN}", "cookie": "session=F"},
        "token_verified",
    ),
    (
        "anything, where no token is read",
        "/public/x",
        {"cookie": "session=F", "authorization": "Basic x"},
        "public",
    ),
    ("both, in shadow mode", "/shadow", {**BEARER, "sec-websocket-protocol": "bearer.F"}, "shadow"),
]


@pytest.mark.parametrize(
    ("path", "headers", "reason"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
def test_rows_the_first_time_and_the_second(
    path: str, headers: dict[str, str], reason: str
) -> None:
    one = witness()
    one.ask(asked(path.partition("?")[0], **BEARER))
    for _ in range(3):
        answer = read_answer(one.ask(asked(path, **headers)))
        assert answer.metadata["reason"] == reason
        if answer.allowed and reason not in {"public", "shadow"}:
            assert_no_second(answer, headers)


def assert_no_second(answer: Answer, headers: dict[str, str]) -> None:
    """What arrives: the header that came, what takes its place, or nothing."""
    arrives = {**headers, **answer.set_headers}
    for name in answer.removed:
        arrives.pop(name, None)
    values = " ".join(arrives.get(name, "") for name in ("cookie", "sec-websocket-protocol"))
    assert "=F" not in values
    assert "bearer.F" not in values
    unread = {"cookie", "sec-websocket-protocol"} - headers.keys()
    assert unread <= set(answer.removed), "Envoy may have kept these back"


def test_which_of_them_take_the_fast_path() -> None:
    def paths(path: str, headers: dict[str, str]) -> str:
        one = witness()
        return one.paths(*[asked(path, **headers)] * 3)

    assert paths("/api/x", BEARER) == "SFF"
    assert paths("/api/x", {**BEARER, "cookie": "a=b"}) == "SFF"
    assert paths("/api/x?q=1", BEARER) == "SFF"
    assert paths("/either", {"cookie": "a=b"}) == "SFF"
    assert paths("/public/x", {"cookie": "session=F", "sec_websocket_protocol": "x"}) == "SFF"
    assert paths("/api/x", {**BEARER, "cookie": "session=F"}) == "SSS"
    assert paths("/api/x", {**BEARER, "sec_websocket_protocol": "chat"}) == "SSS"


def test_an_answer_for_one_with_cookies_is_not_one_for_those_without() -> None:
    one = witness()
    without, with_ = asked("/api/x", **BEARER), asked("/api/x", **BEARER, cookie="a=b")
    for _ in range(2):
        assert "cookie" in read_answer(one.ask(without)).removed
        assert "cookie" not in read_answer(one.ask(with_)).removed


def test_where_no_route_reads_cookies_they_are_the_applications(bench: Bench) -> None:
    for _ in range(2):
        answer = bench.ask(ISSUER.mint(), headers={"cookie": "session=F"}, path="/either")
        assert "cookie" not in {*answer.removed, *answer.set_headers}
        assert "cookie" not in bench.ask(path="/either").removed


COOKIES = st.sampled_from(
    [None, "a=b", "session=F", "session =F; a=b", f"session={TOKEN}", "sess%69on=F", "x" * 300]
)
PROTOCOLS = st.sampled_from([None, None, "chat", "bearer.F", f"bearer.{TOKEN}"])
BEARERS = st.sampled_from([None, TOKEN, TOKEN, "rubbish"])
PATHS = st.sampled_from(
    ["/api/x", "/api/x?a=b", "/api/x?access_token=F", "/either", "/cookie", "/socket", "/public/x",
     "/shadow"]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(PATHS, BEARERS, COOKIES, PROTOCOLS), max_size=20))
def test_with_and_without_cache_the_answers_are_the_same(
    steps: list[tuple[str, str | None, str | None, str | None]],
) -> None:
    old = witness()
    for path, bearer, cookie, protocols in steps:
        given = {
            "authorization": bearer and f"Bearer {bearer}",
            "cookie": cookie,
            "sec-websocket-protocol": protocols,
        }
        raw = asked(path, **{name: value for name, value in given.items() if value})
        assert old.ask(raw) == witness().ask(raw)


def test_the_tenant_of_what_is_verified_arrives() -> None:
    answer = read_answer(witness().ask(asked("/cookie", cookie=f"session={TOKEN}")))
    assert answer.set_headers["x-tenant-id"] == TENANT
