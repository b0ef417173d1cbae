"""Asked and repeated are one answer: real Envoy, its module, the real sidecar."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demo.cases import OTHER_TENANT, TENANT_DOMAIN
from tests.decision_cache.cached_edge import Ask, CachedEdge

pytestmark = pytest.mark.real
CUSTOMER = ("x-customer", "1")


@pytest.fixture(scope="module")
def edge() -> Iterator[CachedEdge]:
    with CachedEdge() as running:
        yield running


REPEATED: dict[str, Ask] = {
    "a route that requires a token": Ask(),
    "one where it is optional": Ask("/"),
    "a role": Ask("/api/admin/x"),
    "a scope": Ask("/api/scoped/x", claims={"scope": "orders.read other"}),
    "a tenant's route": Ask("/api/acme/x"),
    "a tenant's own domain": Ask(host=TENANT_DOMAIN),
    "headers that are kept": Ask("/api/kept", headers=(("x-forwarded-host", "a.example"),)),
    "CORS without an origin": Ask("/api/shared/x"),
    "CORS for anybody": Ask("/api/anybody/x", headers=(("origin", "https://any.example"),)),
    "an origin that is not looked at": Ask(headers=(("origin", "https://any.example"),)),
    "methods": Ask("/api/reader/x"),
    "HEAD with GET": Ask("/api/reader/x", method="HEAD"),
    "a body": Ask(method="POST", body="a=b"),
    "PUT": Ask(method="PUT", body="{}"),
    "DELETE": Ask(method="DELETE"),
    "a query": Ask("/api/orders?page=2&q=a%20b"),
    "cookies that nobody reads": Ask(headers=(("cookie", "a=b; session=c"),)),
    "forged names": Ask(headers=(("x-tenant-id", "evil"), ("X-uSeR-iD", "evil"), CUSTOMER)),
    "overrides": Ask(headers=(("x-original-url", "/x"), ("x-http-method-override", "PUT"))),
    "no roles": Ask(claims={"roles": None}),
    "a subject that JSON escapes": Ask(claims={"sub": 'a"b\\c'}),
    "a token of a warning": Ask(claims={"note": "someone@mail.example"}),
    "a long path": Ask("/api/" + "x" * 400),
    "an extension": Ask("/api/orders/report.json"),
}


@pytest.mark.parametrize("kind", REPEATED)
def test_asked_and_repeated_are_one_answer(edge: CachedEdge, kind: str) -> None:
    ask = REPEATED[kind]
    token = edge.mint(**ask.claims)
    before = edge.counts()
    asked, repeated = edge.send(ask, token), edge.send(ask, token)
    after = edge.counts()
    assert asked == repeated
    assert asked.status == 200
    moved = {
        name: after[name] - before.get(name, 0)
        for name in after
        if name.startswith(("decision_cache", "checks")) and after[name] != before.get(name, 0)
    }
    assert moved["decision_cache_repeated_total"] == 1, moved
    assert moved['decision_cache_asked_total{reason="miss"}'] == 1, moved
    subject = ask.claims.get("sub", f"user-{edge.minted}")
    first, second = edge.lines_of(subject, 2)
    assert first == second
    path = ask.path.partition("?")[0]
    assert len({tuple(each.items()) for each in map(dict, edge.access_of(path, 2))}) == 1


ASKED: dict[str, Ask] = {
    "no token is read": Ask("/assets/x"),
    "a nonce": Ask("/shell"),
    "shadow mode": Ask("/api/shadow/x"),
    "the stream's end": Ask("/api/stream/x"),
    "CORS for a page": Ask("/api/shared/x", headers=(("origin", "https://page.example"),)),
    "CORS for another": Ask("/api/shared/x", headers=(("origin", "https://other.example"),)),
    "a preflight": Ask(
        "/api/shared/x",
        "OPTIONS",
        headers=(
            ("origin", "https://page.example"),
            ("access-control-request-method", "GET"),
        ),
    ),
    "a lenient reading": Ask("/API/orders"),
    "a lenient reading of a stricter route": Ask("/api/ADMIN/x"),
    "another one": Ask("/api/admin.json"),
    "an escape": Ask("/api/a%20b"),
    "no route": Ask("/nowhere"),
    "a token in the query": Ask("/api/orders?access_token=x"),
    "in another spelling": Ask("/api/orders?ACCESS%2Etoken=x"),
    "subprotocols": Ask(headers=(("sec-websocket-protocol", "chat"),)),
    "a proof of nothing": Ask(headers=(("dpop", "x"),)),
    "a signature": Ask(headers=(("x-module-signature", "x"),)),
    "two credentials": Ask(headers=(("authorization", "Bearer x"),)),
    "a role that is missing": Ask("/api/admin/x", claims={"roles": ["other"]}),
    "another tenant's domain": Ask(host=TENANT_DOMAIN, claims={"tenantId": OTHER_TENANT}),
    "an expired token": Ask(claims={"iat": 1, "nbf": 1, "exp": 600}),
    "many headers": Ask(headers=tuple((f"x-{number}", "1") for number in range(64))),
}


@pytest.mark.parametrize("kind", ASKED)
def test_what_is_never_repeated_is_asked_each_time(edge: CachedEdge, kind: str) -> None:
    ask = ASKED[kind]
    token = edge.mint(**ask.claims)
    before = edge.repeated()
    answers = [edge.send(ask, token) for _ in range(3)]
    assert edge.repeated() == before
    assert len({answer.status for answer in answers}) == 1


def test_a_token_repeated_on_one_host_is_asked_for_on_anothers(edge: CachedEdge) -> None:
    """A row of any host serves the tenants' domains too, and whose they are decides."""
    stranger = edge.mint(tenantId=OTHER_TENANT)
    for _ in range(2):
        assert edge.send(Ask(), stranger).status == 200
    before = edge.repeated()
    assert edge.send(Ask(host=TENANT_DOMAIN), stranger).status == 403
    assert edge.repeated() == before


def test_one_role_is_not_the_others(edge: CachedEdge) -> None:
    plain = edge.mint(roles=["other"])
    for _ in range(2):
        assert edge.send(Ask(), plain).status == 200
        assert edge.send(Ask("/api/admin/x"), plain).status == 403
        assert edge.send(Ask("/api/ADMIN/x"), plain).status == 400


WORD = st.text("abcXYZ019-_~.", min_size=1, max_size=12)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.lists(WORD, max_size=4).map(lambda words: "/api/" + "/".join(words)),
    query=st.sampled_from(["", "?a=b", "?access=1", "?x=%61ccess_token", "?q=access%5Ftoken"]),
    method=st.sampled_from(["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PURGE"]),
    host=st.sampled_from(["localhost", TENANT_DOMAIN, "LOCALHOST", "other.example:443"]),
    headers=st.lists(
        st.sampled_from(
            [
                ("cookie", "a=b"), ("origin", "https://page.example"), ("x-tenant-id", "e"),
                ("x-roles", "root"), ("accept", "*/*"), ("x-forwarded-for", "1.2.3.4"),
                ("x.tenant.id", "e"), ("te", "trailers"), ("x-csp-nonce", "n"),
            ]
        ),
        max_size=4,
        unique=True,
    ),
)  # fmt: skip
def test_generated_requests_are_answered_alike(  # noqa: PLR0917 - what is drawn
    edge: CachedEdge,
    path: str,
    query: str,
    method: str,
    host: str,
    headers: list[tuple[str, str]],
) -> None:
    ask = Ask(path + query, method, host, tuple(headers))
    token = edge.mint()
    first, second, third = (edge.send(ask, token) for _ in range(3))
    assert first.status == second.status
    if first.status == 200:
        assert first == second == third


def test_a_repeated_request_has_its_ids_wherever_an_asked_one_has_them(edge: CachedEdge) -> None:
    token = edge.mint(sub="two-ids")
    for _ in range(3):
        edge.send(Ask("/api/two-ids"), token)
    edge.lines_of("two-ids", 3)
    edge.access_of("/api/two-ids", 3)
    entries = [each for each in edge.envoy.access_log() if each.get("path") == "/api/two-ids"]
    lines = [line for line in edge.audited() if line.get("subject") == "two-ids"]
    assert sorted((e["decision_id"], e["request_id"]) for e in entries) == sorted(
        (line["decision_id"], line["request_id"]) for line in lines
    )
    assert [e["repeated_as"] == e["decision_id"] for e in entries] == [False, True, True]


def test_decisions_are_found_by_their_id_like_others(edge: CachedEdge) -> None:
    token = edge.mint(sub="to-be-explained")
    for _ in range(2):
        edge.send(Ask(), token)
    edge.lines_of("to-be-explained", 2)
    last = [line for line in edge.audited() if line.get("subject") == "to-be-explained"][-1]
    command = [sys.executable, "-m", "sidecar", "explain", last["decision_id"], "--audit"]
    done = subprocess.run(
        [*command, str(edge.folder / "audit.jsonl")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "to-be-explained" in done.stdout
