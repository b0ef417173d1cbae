"""The order of the steps: of several reasons to deny, the first step's is the answer."""

from typing import Any

import pytest
from msgspec.structs import replace

from sidecar.authz.decision import RequestView, Snapshot
from sidecar.authz.evaluate import VerificationDeferred, decide
from sidecar.authz.response_cache import ResponseCache
from sidecar.authz.snapshot import build_snapshot
from sidecar.cli.client_certificates import forwarded_certificate
from sidecar.common.reasons import Grant, Reason
from sidecar.config import parse_config
from sidecar.keys.lifecycle import KeyState
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.keyring import EMPTY_RING
from tests.authz.conftest import CONFIG
from tests.support.minting import NOW, Issuer

OTHER_TENANT = "0f0f0f0f-0000-4000-8000-000000000000"
ROUTES = f"""\
routes:
  - {{name: open, path_prefix: /open, auth: none}}
  - {{name: service, path_prefix: /service, auth: none, clients: ["spiffe://example/web"]}}
  - {{name: either, path_prefix: /either, auth: optional}}
  - {{name: shadow, path_prefix: /shadow, shadow: true}}
  - {{name: stream, path_prefix: /stream, end_streams_with_token: true}}
  - name: all
    path_prefix: /all
    clients: ["spiffe://example/web"]
    tenant: {OTHER_TENANT}
    roles: [nobody]
"""
SETTINGS = parse_config(CONFIG.partition("routes:")[0] + ROUTES, "test")
SHOWN = forwarded_certificate("spiffe://example/web", NOW)


@pytest.fixture(scope="module")
def snapshot(issuer: Issuer) -> Snapshot:
    return build_snapshot(SETTINGS, issuer.ring)


def view(path: str = "/all", token: bytes | None = None, **fields: Any) -> RequestView:
    headers = {} if token is None else {"authorization": b"Bearer " + token}
    given: dict[str, Any] = {"method": b"GET", "host": b"app.example", "certificate": SHOWN}
    return RequestView(**{**given, "path": path.encode(), "headers": headers, **fields})


ORDER: list[tuple[str, dict[str, Any], Reason]] = [
    ("the method first", {"method": b"get", "host": b"", "path": "/.."}, Reason.REQUEST_MALFORMED),
    ("then the host", {"host": b"a b", "path": "/%2e%2e%2f"}, Reason.HOST_MALFORMED),
    ("then the path", {"path": "/..%2fx"}, Reason.PATH_AMBIGUOUS),
    ("then the route", {"path": "/nowhere", "certificate": ""}, Reason.ROUTE_UNKNOWN),
    ("then the client", {"certificate": ""}, Reason.CLIENT_CERTIFICATE_MISSING),
    ("then the credential", {"token": b"e30.e30.e30,x"}, Reason.TOKEN_AMBIGUOUS),
    ("then the token", {"token": b"rubbish"}, Reason.TOKEN_MALFORMED),
]


@pytest.mark.parametrize(
    ("request_", "reason"), [row[1:] for row in ORDER], ids=[row[0] for row in ORDER]
)
def test_of_several_reasons_the_first_step_denies(
    snapshot: Snapshot, request_: dict[str, Any], reason: Reason
) -> None:
    assert decide(view(**request_), snapshot, NOW).outcome is reason


def test_what_follows_a_verified_token(snapshot: Snapshot, issuer: Issuer) -> None:
    """Personal data before the tenant, the tenant before the roles."""
    rows: list[tuple[dict[str, Any], Reason]] = [
        ({"email": "a@b.example"}, Reason.PII_IN_TOKEN),
        ({}, Reason.TENANT_MISMATCH),
        ({"tenantId": OTHER_TENANT}, Reason.ROLE_MISSING),
    ]
    for claims, reason in rows:
        decision = decide(view(token=issuer.mint(**claims)), snapshot, NOW)
        assert decision.outcome is reason
        assert decision.token is None, "a denied request has no identity"
        assert decision.token_digest, "but the audit log can tell which token it was"
    passing = issuer.mint(tenantId=OTHER_TENANT, roles=["nobody"])
    assert decide(view(token=passing), snapshot, NOW).outcome is Grant.TOKEN_VERIFIED


GRANTS: list[tuple[str, str, bool, Grant]] = [
    ("no authentication", "/open", False, Grant.PUBLIC),
    ("a token that nobody reads", "/open", True, Grant.PUBLIC),
    ("a client's certificate alone", "/service", False, Grant.CLIENT_VERIFIED),
    ("an optional token that is not there", "/either", False, Grant.ANONYMOUS),
    ("one that is", "/either", True, Grant.TOKEN_VERIFIED),
    ("shadow mode", "/shadow", False, Grant.SHADOW),
    ("shadow mode that had nothing to let pass", "/shadow", True, Grant.TOKEN_VERIFIED),
]


@pytest.mark.parametrize(
    ("path", "signed_in", "grant"), [row[1:] for row in GRANTS], ids=[row[0] for row in GRANTS]
)
def test_grants(
    snapshot: Snapshot, issuer: Issuer, path: str, signed_in: bool, grant: Grant
) -> None:
    decision = decide(view(path, issuer.mint() if signed_in else None), snapshot, NOW)
    assert decision.outcome is grant
    assert (decision.token is not None) is (grant is Grant.TOKEN_VERIFIED)
    assert decision.shadowed == (Reason.TOKEN_MISSING if grant is Grant.SHADOW else None)


def test_shadow_mode_lets_nothing_pass_that_no_route_matched(snapshot: Snapshot) -> None:
    assert decide(view("/shadow/..%2fx"), snapshot, NOW).outcome is Reason.PATH_AMBIGUOUS


STREAMS = [("a limit", "/stream", 630_000), ("none", "/either", 0)]


@pytest.mark.parametrize(("path", "left"), [s[1:] for s in STREAMS], ids=[s[0] for s in STREAMS])
def test_a_stream_ends_with_its_token_and_its_leeway(
    snapshot: Snapshot, issuer: Issuer, path: str, left: int
) -> None:
    decision = decide(view(path, issuer.mint()), snapshot, NOW)
    assert decision.stream_milliseconds == left


def test_without_keys_no_token_is_even_looked_at(snapshot: Snapshot) -> None:
    keyless = replace(snapshot, ring=EMPTY_RING)
    decision = decide(view("/either", b"rubbish"), keyless, NOW)
    assert decision.outcome is Reason.KEYS_UNAVAILABLE
    assert decide(view("/either"), keyless, NOW).outcome is Grant.ANONYMOUS


def test_old_keys_deny_only_where_the_operator_says_so(snapshot: Snapshot, issuer: Issuer) -> None:
    asked = view("/either", issuer.mint())
    old = replace(snapshot, key_state=KeyState.DEGRADED)
    assert decide(asked, old, NOW).outcome is Grant.TOKEN_VERIFIED
    refusing = replace(old, refuse_degraded=True)
    assert decide(asked, refusing, NOW).outcome is Reason.KEYS_DEGRADED


def test_only_a_token_that_is_not_cached_asks_for_leave_to_be_verified(
    snapshot: Snapshot, issuer: Issuer
) -> None:
    asked, cache = view("/either", issuer.mint()), ResponseCache(TokenCache(4))
    with pytest.raises(VerificationDeferred):
        decide(asked, snapshot, NOW, cache, lambda: False)
    first = decide(asked, snapshot, NOW, cache, lambda: True)
    again = decide(asked, snapshot, NOW, cache, lambda: pytest.fail("it is cached"))
    assert (first.token, first.cached_token) == (again.token, again.cached_token)
    assert first.cached_token is not None
    refused = decide(view("/nowhere"), snapshot, NOW, cache, lambda: pytest.fail("no token"))
    assert refused.outcome is Reason.ROUTE_UNKNOWN
