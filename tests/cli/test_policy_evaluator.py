"""The policy evaluator: how a case becomes a request, and that nothing gets past it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli.cases import Case, RecordedRequest, Result, Token
from sidecar.cli.policy_evaluator import PolicyEvaluator
from sidecar.common.errors import Fault
from sidecar.config import load_config, parse_config
from tests.authz.conftest import CONFIG
from tests.support.minting import NOW, TENANT

EVALUATOR = PolicyEvaluator(load_config(Path(__file__).parents[1] / "policy" / "config.yaml"))


def evaluate(token: Token | None = None, at: float | None = None, **request: Any) -> Result:
    case = Case(request=RecordedRequest(**{"path": "/api", **request}), token=token, at=at)
    return EVALUATOR.evaluate(case, NOW)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "token_missing"),
        (Token(), "token_verified"),
        (Token(signed_by="stranger"), "signature_invalid"),
        (Token(claims={"sub": None}), "claim_missing"),
        (Token(claims={"exp": NOW - 60, "iat": NOW - 90, "nbf": NOW - 90}), "token_expired"),
    ],
    ids=["none", "as it is", "another key", "a claim removed", "a claim changed"],
)
def test_a_token_is_valid_but_for_what_the_case_changes(token: Token | None, reason: str) -> None:
    assert evaluate(token).reason == reason


def test_a_case_has_its_own_time() -> None:
    old = Token(claims={"exp": NOW + 600, "iat": NOW, "nbf": NOW})
    assert evaluate(old, at=NOW + 60).allowed
    assert evaluate(old, at=NOW + 700).reason == "token_expired"


def test_a_token_beside_one_in_the_headers_is_two() -> None:
    both = evaluate(Token(), headers={"Authorization": "Bearer a.b.c"})
    assert both.reason == "token_ambiguous"


def test_claims_that_no_json_holds_are_a_fault() -> None:
    with pytest.raises(Fault, match="a token with these claims can't be signed"):
        evaluate(Token(claims={"sub": b"bytes"}))


def test_a_result_has_the_headers_of_the_answers_bytes() -> None:
    allowed = evaluate(Token())
    assert allowed.request_headers["x-tenant-id"] == allowed.tenant
    assert evaluate().response_headers["www-authenticate"].startswith("Bearer")


NAMES = ["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "tenantId", "roles", "scope"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.lists(st.text(max_size=4), max_size=3),
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1))
def test_no_mutation_of_claims_gets_past_with_an_exception(claims: dict[str, object]) -> None:
    result = EVALUATOR.evaluate(
        Case(request=RecordedRequest(path="/api"), token=Token(claims=claims)), NOW
    )
    assert result.status in {200, 401}


LIMITED = PolicyEvaluator(
    parse_config(
        "limits: {tenant: {requests: 9}, address: {requests: 8}, token: {requests: 7}}\n"
        + CONFIG.replace(
            "headers:\n",
            "  - {name: few, path_prefix: /few, limits: {total: {requests: 2, shadow: true}}}\n"
            "  - {name: login, path: /login, auth: none, methods: [POST], "
            "limits: {login: {account_json: /email}}}\n"
            "headers:\n",
            1,
        ).replace("domain: shop", "limit: {requests: 5, burst: 6}, domain: shop"),
        "test",
    )
)


@pytest.mark.parametrize(
    ("request_of", "token", "counted"),
    [
        pytest.param(
            {"path": "/api"},
            Token(claims={"tenantId": TENANT}),
            {"tenant": 5, "address": 8, "token": 7},
            id="a tenant's own limit goes before the common one",
        ),
        pytest.param(
            {"path": "/few"},
            Token(claims={"tenantId": TENANT}),
            {"tenant": 5, "address": 8, "token": 7, "route/few": 2},
            id="a route's own",
        ),
        pytest.param({"path": "/few"}, None, {"address": 8}, id="refused: by address only"),
        pytest.param({"path": "/nowhere/at/all"}, None, {"address": 8}, id="no route"),
        pytest.param(
            {"path": "/login", "method": "POST"},
            None,
            {"address": 8, "route/login/login": 5, "route/login/account": 50},
            id="a login",
        ),
    ],
)
def test_the_limits_that_would_count_a_request_are_shown(
    request_of: dict[str, Any], token: Token | None, counted: dict[str, int]
) -> None:
    recorded = RecordedRequest(host="shop.acme.example", **request_of)
    result = LIMITED.evaluate(Case(request=recorded, token=token), NOW)
    assert {each.name: each.requests for each in result.limits} == counted
    shadowed = [each.name for each in result.limits if each.shadow]
    assert shadowed == (["route/few"] if "route/few" in counted else [])
    assert all(each.by for each in result.limits)
