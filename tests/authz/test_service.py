"""Check, from bytes to bytes: who passes, who does not, and with which headers."""

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.authz.service import CheckService
from sidecar.common.reasons import ANSWERS, Reason
from sidecar.tokens.keyring import EMPTY_RING
from tests.authz.checks import check_request, read_answer
from tests.authz.conftest import Bench
from tests.support.ids import numbered
from tests.support.minting import TENANT, Issuer, base_claims

SPOOFED = {"x-tenant-id": "evil", "X-Tenant-Id": "evil", "x_tenant_id": "evil", "x-roles": "root"}


def test_a_good_token_passes_with_its_context(bench: Bench) -> None:
    answer = bench.ask(bench.issuer.mint())
    assert answer.allowed
    assert answer.set_headers == {
        "x-tenant-id": TENANT,
        "x-user-id": "user-42",
        "x-roles": "admin,editor",
        "x-token-id": "tok-1",
    }
    assert answer.metadata == {
        "reason": "token_verified",
        "route": "api",
        "key_state": "active",
        "tenant": TENANT,
        "decision_id": numbered(1).decode(),
    }


def test_every_trusted_header_is_set_or_removed(bench: Bench) -> None:
    """Whatever a client sends under a trusted name, in any spelling, is gone."""
    for answer in (
        bench.ask(bench.issuer.mint(), headers=dict(SPOOFED)),
        bench.ask(bench.issuer.mint(roles=None)),
        bench.ask(path="/public/x", headers=dict(SPOOFED)),
        bench.ask(path="/either", headers=dict(SPOOFED)),
    ):
        assert answer.allowed
        written = answer.set_headers.keys() | set(answer.removed)
        assert {"x-tenant-id", "x-user-id", "x-roles", "x-token-id", "x-csp-nonce"} <= written
        assert {"x_tenant_id", "x-tenant_id", "x_tenant-id", "x-internal-debug"} <= set(
            answer.removed
        )
        assert not answer.set_headers.keys() & set(answer.removed)


def test_what_would_undo_the_decision_is_removed_unless_the_route_keeps_it(bench: Bench) -> None:
    for token in (None, bench.issuer.mint()):
        kept, other = (bench.ask(token, path=path).removed for path in ("/kept/x", "/either"))
        assert {"x-original-url", "x-http-method-override", "x-forwarded-host"} <= set(other)
        assert {*other} - {*kept} == {"x-forwarded-host"}


def test_a_public_route_does_not_look_at_credentials(bench: Bench) -> None:
    answer = bench.ask(b"rubbish", path="/public/x")
    assert answer.allowed
    assert answer.set_headers == {}
    assert answer.metadata == {
        "reason": "public", "route": "public", "key_state": "active",
        "decision_id": numbered(1).decode(),
    }  # fmt: skip


def test_an_optional_route_takes_none_or_a_good_one(bench: Bench) -> None:
    assert bench.ask(path="/either").metadata["reason"] == "anonymous"
    assert bench.ask(bench.issuer.mint(), path="/either").set_headers["x-tenant-id"] == TENANT
    assert bench.ask(b"rubbish", path="/either").status == 401


DENIALS = [
    ("no route", {"path": "/nowhere"}, Reason.ROUTE_UNKNOWN),
    ("ambiguous path", {"path": "/public/..%2fapi"}, Reason.PATH_AMBIGUOUS),
    ("no host", {"host": ""}, Reason.HOST_MALFORMED),
    ("no method", {"method": ""}, Reason.REQUEST_MALFORMED),
    ("long path", {"path": "/" + "a" * 9000}, Reason.REQUEST_TOO_LARGE),
    ("no token", {}, Reason.TOKEN_MISSING),
    ("empty header", {"headers": {"authorization": ""}}, Reason.TOKEN_SCHEME_UNSUPPORTED),
    ("scheme alone", {"headers": {"authorization": "Bearer"}}, Reason.TOKEN_MALFORMED),
    ("other scheme", {"headers": {"authorization": "Basic YTpi"}}, Reason.TOKEN_SCHEME_UNSUPPORTED),
    ("two tokens", {"headers": {"authorization": "Bearer a,Bearer b"}}, Reason.TOKEN_AMBIGUOUS),
    (
        "two raw headers",
        {
            "raw_headers": [("authorization", b"Bearer a"), ("authorization", b"Bearer b")],
        },
        Reason.TOKEN_AMBIGUOUS,
    ),
    ("9 KB", {"headers": {"authorization": "Bearer " + "a" * 9216}}, Reason.TOKEN_TOO_LARGE),
    ("1 MB", {"headers": {"authorization": "Bearer " + "a" * 2**20}}, Reason.TOKEN_TOO_LARGE),
    ("10,000 dots", {"headers": {"authorization": "Bearer " + "." * 8000}}, Reason.TOKEN_MALFORMED),
]


@pytest.mark.parametrize(
    ("changes", "reason"), [d[1:] for d in DENIALS], ids=[d[0] for d in DENIALS]
)
def test_denials(bench: Bench, changes: dict[str, Any], reason: Reason) -> None:
    answer = bench.ask(**dict(changes))
    assert not answer.allowed
    problem = json.loads(answer.body)
    assert problem == {
        "type": f"urn:septem:reason:{reason}",
        "title": ANSWERS[reason].title,
        "status": ANSWERS[reason].status,
        "reason": reason,
        "instance": f"urn:septem:decision:{numbered(1).decode()}",
    }
    assert answer.status == ANSWERS[reason].status
    assert answer.metadata["reason"] == reason
    assert answer.metadata["decision_id"] == numbered(1).decode()
    assert bench.last.decision.outcome is reason
    assert answer.response_headers["content-type"] == "application/problem+json"


def test_the_bearer_scheme_is_read_in_any_case(bench: Bench) -> None:
    token = bench.issuer.mint().decode()
    for scheme in ("bearer", "BEARER", " Bearer", "Bearer "):
        assert bench.ask(headers={"authorization": f"{scheme} {token} "}).allowed


def test_challenges_follow_rfc_6750(bench: Bench) -> None:
    def challenge(**changes: object) -> str | None:
        return bench.ask(**changes).response_headers.get("www-authenticate")  # type: ignore[arg-type]

    assert challenge() == 'Bearer realm="septem"'
    expired = challenge(token=bench.issuer.mint(**base_claims(bench.now - 3600)))
    assert expired is not None
    assert 'error="invalid_token", error_description="The access token has expired"' in expired
    assert 'error="invalid_request"' in str(challenge(headers={"authorization": "Bearer a,b"}))
    assert challenge(path="/nowhere") is None


def test_without_a_key_the_answer_is_503(bench: Bench) -> None:
    bench.service.snapshot = msgspec.structs.replace(bench.service.snapshot, ring=EMPTY_RING)
    assert bench.ask(bench.issuer.mint()).status == 503
    assert bench.ask(path="/public/x").allowed


def test_security_headers_go_with_every_answer(bench: Bench) -> None:
    for answer in (bench.ask(), bench.ask(path="/public/x"), bench.ask(bench.issuer.mint())):
        headers = answer.response_headers
        assert (
            headers["strict-transport-security"] == "max-age=31536000; includeSubDomains; preload"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert {
            "referrer-policy",
            "permissions-policy",
            "content-security-policy",
        } <= headers.keys()


def test_the_policy_names_the_tenants_own_domain(bench: Bench) -> None:
    def connect(**changes: object) -> str:
        policy = bench.ask(path="/shell", **changes).response_headers["content-security-policy"]  # type: ignore[arg-type]
        return next(part for part in policy.split("; ") if part.startswith("connect-src"))

    own = "connect-src 'self' shop.acme.example"
    other = "0f0f0f0f-0000-4000-8000-000000000000"
    assert connect(token=bench.issuer.mint()) == own
    assert connect(token=bench.issuer.mint(tenantId=other)) == "connect-src 'self'"


def test_a_refusal_lets_a_browser_do_nothing(bench: Bench) -> None:
    headers = bench.ask().response_headers
    assert headers["content-security-policy"] == (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert headers["cache-control"] == "no-store"


MALFORMED = [b"\xff", b"\x0a\xff", b"\x0a\x02\x22", b"\x00" * 100, b"{}", b"\x0a" * 10_000]


@pytest.mark.parametrize("raw", MALFORMED, ids=[repr(m[:8]) for m in MALFORMED])
def test_bytes_that_are_no_request(bench: Bench, raw: bytes) -> None:
    answer = read_answer(bench.handle(raw))
    assert (answer.allowed, answer.status) == (False, 400)
    assert answer.metadata["reason"] == "request_malformed"


def test_an_empty_request_is_refused(bench: Bench) -> None:
    assert read_answer(bench.handle(b"")).status == 400


def test_a_fault_of_ours_is_a_refusal(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("with a secret in it")

    monkeypatch.setattr("sidecar.authz.slow_path.decide", broken)
    answer = bench.ask(bench.issuer.mint())
    assert (answer.allowed, answer.status) == (False, 503)
    assert len(bench.faults) == 1
    assert "secret" not in answer.body
    assert "secret" not in bench.last.decision.detail


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=512))
def test_no_bytes_get_past_the_service(bench: Bench, raw: bytes) -> None:
    assert not read_answer(bench.handle(raw)).allowed
    assert bench.faults == []


TEXT = st.text(st.characters(codec="utf-8"), max_size=64)
HEADERS = st.dictionaries(
    st.one_of(st.sampled_from(["authorization", "cookie", "x-tenant-id", ":path"]), TEXT),
    st.one_of(TEXT, TEXT.map("Bearer {}".format), st.just("Bearer " + "[" * 4000)),
    max_size=6,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=TEXT, path=TEXT.map("/api/{}".format), host=TEXT, headers=HEADERS)
def test_nothing_a_client_writes_passes_a_protected_route(
    bench: Bench, method: str, path: str, host: str, headers: dict[str, str]
) -> None:
    answer = bench.ask(method=method, path=path, host=host, headers=headers)
    assert not answer.allowed
    assert bench.faults == []


def test_memory_stays_flat_under_hostile_input(bench: Bench, issuer: Issuer) -> None:
    """A thousand distinct forged tokens, hosts and paths leave nothing behind."""

    def flood(service: CheckService, start: int) -> None:
        for number in range(start, start + 1000):
            token = issuer.mint_raw(issuer.header(kid=f"k{number}"), b"{}").decode()
            service.handle(
                check_request(
                    path=f"/api/{number}/" + "x" * 1000,
                    host=f"h{number}.example",
                    headers={"authorization": f"Bearer {token}"},
                )
            )
            bench.outcomes.clear()

    flood(bench.service, 0)
    flood(bench.service, 10_000)
    tracemalloc.start()
    try:
        flood(bench.service, 20_000)
        before = tracemalloc.get_traced_memory()[0]
        flood(bench.service, 30_000)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # The memo of host names may still fill up: 4,096 of a few hundred bytes.
    assert grown < 1_000_000
