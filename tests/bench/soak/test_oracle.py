"""The model of what is right: it accepts the right answer, and no other in any part of it."""

from collections.abc import Mapping
from typing import Any

import pytest

from bench.soak.asks import Ask
from bench.soak.oracle import Answer, Expected, Identity, State, expected, judge
from bench.soak.policy import INSTALL, NOTHING, TENANTS, Policy, changed, policy_text

ASK = Ask(
    1, 2, "get", "/api/orders", "good", 0, 0, ("admin",), "orders.read",
    spoofed=True, bundle="signed", host=0.0, keep=0.0,
)  # fmt: skip
ME = Identity("alice", "t-1")
NOW = State(Policy(), key_verifies=True, revoked=False, owner="", withdrawn=False)
TOLD = {
    "x-tenant-id": TENANTS[0], "x-user-id": "alice", "x-token-id": "t-1", "x-roles": "admin",
}  # fmt: skip

DECISIONS: list[tuple[str, dict[str, Any], dict[str, Any], int, str]] = [
    ("a good token", {}, {}, 200, "token_verified"),
    ("no token", {"credential": "none"}, {}, 401, "token_missing"),
    ("a public route looks at no token", {"place": "/assets", "credential": "forged"}, {}, 200,
     "public"),
    ("an optional one does", {"place": "/open", "credential": "forged"}, {}, 401,
     "signature_invalid"),
    ("an optional one without", {"place": "/open", "credential": "none"}, {}, 200, "anonymous"),
    ("no route", {"place": "/nowhere"}, {}, 403, "route_unknown"),
    ("two readings, whatever comes", {"place": "/api;x", "credential": "none"}, {}, 400,
     "path_ambiguous"),
    ("two tokens", {"credential": "twice"}, {}, 400, "token_ambiguous"),
    ("a key that is not there", {}, {"key_verifies": False}, 401, "key_unknown"),
    ("a forged token of such a key", {"credential": "forged"}, {"key_verifies": False}, 401,
     "key_unknown"),
    ("a wrong algorithm before the key", {"credential": "confused"}, {"key_verifies": False}, 401,
     "algorithm_not_allowed"),
    ("forged", {"credential": "forged"}, {}, 401, "signature_invalid"),
    ("expired before revoked", {"credential": "expired"}, {"revoked": True}, 401, "token_expired"),
    ("revoked", {}, {"revoked": True}, 401, "token_revoked"),
    ("revoked before another tenant", {"tenant": 1}, {"revoked": True, "owner": TENANTS[0]}, 401,
     "token_revoked"),
    ("another tenant's name", {"tenant": 1}, {"owner": TENANTS[0]}, 403, "tenant_mismatch"),
    ("another tenant's route", {"tenant": 1, "place": "/api/acme"}, {}, 403, "tenant_mismatch"),
    ("another tenant before a role", {"tenant": 1, "place": "/api/admin", "roles": ()},
     {"owner": TENANTS[0]}, 403, "tenant_mismatch"),
    ("no role", {"place": "/api/admin", "roles": ("viewer",)}, {}, 403, "role_missing"),
    ("no scope", {"place": "/api/scoped", "scope": "orders.write"}, {}, 403, "scope_missing"),
    ("a route that is not in the file", {"place": "/late"}, {}, 403, "route_unknown"),
    ("a route that is", {"place": "/late"}, {"policy": Policy(late=True)}, 200, "token_verified"),
    ("a stricter file", {"place": "/swing"}, {"policy": Policy(swing=3)}, 403, "role_missing"),
    ("a looser file", {"place": "/swing", "credential": "none"}, {"policy": Policy(swing=0)}, 200,
     "public"),
    ("a bundle", {"place": INSTALL, "shape": "install"}, {}, 200, "token_verified"),
    ("an altered one", {"place": INSTALL, "shape": "install", "bundle": "altered"}, {}, 422,
     "module_signature_invalid"),
    ("one that is withdrawn", {"place": INSTALL, "shape": "install", "bundle": "withdrawn"},
     {"withdrawn": True}, 422, "module_withdrawn"),
    ("the same before that", {"place": INSTALL, "shape": "install", "bundle": "withdrawn"}, {},
     200, "token_verified"),
]  # fmt: skip


@pytest.mark.parametrize("row", DECISIONS, ids=[row[0] for row in DECISIONS])
def test_what_must_come(row: tuple[str, dict[str, Any], dict[str, Any], int, str]) -> None:
    _, ask, state, status, reason = row
    right = expected(ASK._replace(**ask), ME, NOW._replace(**state))
    assert (right.status, right.reason) == (status, reason)
    assert (right.told is None) == (status != 200)
    assert (right.csp == NOTHING) == (status != 200)


HEADERS = {
    "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
    "x-content-type-options": "nosniff",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "strict-origin-when-cross-origin",
    "content-security-policy": policy_text("narrow", ""),
}
ALLOWED = Answer(200, "", HEADERS, {name: [value] for name, value in TOLD.items()})
DENIED = Answer(401, "token_missing", {**HEADERS, "content-security-policy": NOTHING}, None)


def right_of(**ask: Any) -> Expected:
    return expected(ASK._replace(**ask), ME, NOW)


def without(name: str) -> dict[str, str]:
    return {each: value for each, value in HEADERS.items() if each != name}


def told(**changes: list[str]) -> Mapping[str, list[str]]:
    return {**(ALLOWED.told or {}), **{name.replace("_", "-"): v for name, v in changes.items()}}


def test_right_answers_are_right() -> None:
    assert judge(ALLOWED, [right_of()]) == []
    assert judge(DENIED, [right_of(credential="none")]) == []


WRONG: list[tuple[str, Answer, dict[str, Any]]] = [
    ("passed without a token", ALLOWED, {"credential": "none"}),
    ("denied with a good one", DENIED, {}),
    ("for another reason", DENIED._replace(reason="token_expired"), {"credential": "none"}),
    ("with another status", DENIED._replace(status=403), {"credential": "none"}),
    ("Envoy's own error", DENIED._replace(status=503, reason="x"), {"credential": "none"}),
    ("another tenant told", ALLOWED._replace(told=told(x_tenant_id=[TENANTS[1]])), {}),
    ("the spoofed one beside it", ALLOWED._replace(told=told(x_tenant_id=[TENANTS[0], "x"])), {}),
    ("a spoofed role", ALLOWED._replace(told=told(x_roles=["admin,root"])), {}),
    ("a spoofed publisher", ALLOWED._replace(told=told(x_module_publisher=["x"])), {}),
    ("a spoofed nonce", ALLOWED._replace(told=told(x_csp_nonce=["x"])), {}),
    ("the user is missing", ALLOWED._replace(told=told(x_user_id=[])), {}),
    ("denied, and the application was asked", DENIED._replace(told={}), {"credential": "none"}),
    ("no HSTS", ALLOWED._replace(headers=without("strict-transport-security")), {}),
    ("no policy", ALLOWED._replace(headers=without("content-security-policy")), {}),
    ("the policy of a denial", ALLOWED._replace(headers={**HEADERS,
     "content-security-policy": NOTHING}), {}),
    ("the application's own header", ALLOWED._replace(headers={**HEADERS, "server": "x"}), {}),
    ("a referrer policy of another file", ALLOWED._replace(headers={**HEADERS,
     "referrer-policy": "no-referrer"}), {}),
    ("gRPC passed", ALLOWED._replace(grpc_code=0), {"credential": "none"}),
    ("gRPC with another code", DENIED._replace(grpc_code=7), {"credential": "none"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "ask"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_wrong_answers_are_wrong(answer: Answer, ask: dict[str, Any]) -> None:
    assert judge(answer, [right_of(**ask)])


def test_while_a_file_changes_the_answers_of_both_are_right_and_no_third() -> None:
    ask, before, after = ASK._replace(place="/swing"), Policy(swing=1), Policy(swing=3)
    right = [expected(ask, ME, NOW._replace(policy=each)) for each in (before, after)]
    refused = DENIED._replace(status=403, reason="role_missing")
    assert judge(ALLOWED, right) == judge(refused, right) == []
    assert judge(refused._replace(reason="scope_missing"), right)
    assert judge(refused, right[:1])
    assert judge(ALLOWED, []) == ["there is no state in which it could be right"]


def test_a_nonce_is_the_one_that_the_application_got() -> None:
    right = right_of(place="/page")
    nonce = "AbCdEfGhIjKlMnOpQrStUv"
    headers = {**HEADERS, "content-security-policy": policy_text("page", nonce)}
    page = ALLOWED._replace(headers=headers, told=told(x_csp_nonce=[nonce]))
    assert judge(page, [right]) == []
    assert judge(page._replace(told=told(x_csp_nonce=["AnotherNonceOfTheSameLn"])), [right])
    assert judge(page._replace(headers=HEADERS, told=told()), [right])


def test_the_next_file_always_decides_otherwise() -> None:
    policy = Policy()
    for number in range(50):
        fresh = changed(policy, number, (number * 37 % 100) / 100)
        assert fresh.swing != policy.swing
        policy = fresh
