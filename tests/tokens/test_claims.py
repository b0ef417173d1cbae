"""Each rule of the claims by itself: one row a bound, on both sides of it."""

import json
from typing import Any

import pytest

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.claims import (
    LATEST_TIME,
    MAX_LISTED,
    MODEL_MAPPING,
    check_claims,
    read_claims,
    validity,
)
from sidecar.tokens.confirmation import Confirmation
from sidecar.tokens.mapping import ClaimsMapping
from sidecar.tokens.plain import read_plain_claims
from sidecar.tokens.policy import IssuerPolicy
from tests.support.minting import AUDIENCE, ISSUER, NOW, base_claims, rules

MISSING, MALFORMED = Reason.CLAIM_MISSING, Reason.CLAIM_MALFORMED
READ: list[tuple[str, dict[str, Any], Reason | None]] = [
    ("as they are", {}, None),
    ("no subject", {"sub": None}, MISSING),
    ("an empty subject", {"sub": ""}, MALFORMED),
    ("a subject that would end its header", {"sub": "a\r\nx-roles: admin"}, MALFORMED),
    ("a subject with a space", {"sub": "a b"}, MALFORMED),
    ("a subject beyond ASCII", {"sub": "\u00e9"}, MALFORMED),
    ("no token id", {"jti": None}, MISSING),
    ("a time that is true", {"exp": True}, MALFORMED),
    ("a time in words", {"exp": "1790000000"}, MALFORMED),
    ("a time before 1970", {"iat": -1}, MALFORMED),
    ("a time past every date", {"exp": LATEST_TIME}, MALFORMED),
    ("a time that is no number", {"nbf": float("nan")}, MALFORMED),
    ("a decimal", {"iat": NOW - 9.5}, None),
    ("an audience of none", {"aud": []}, MALFORMED),
    ("an audience of as many as may be", {"aud": [AUDIENCE] * MAX_LISTED}, None),
    ("one more", {"aud": [AUDIENCE] * (MAX_LISTED + 1)}, MALFORMED),
    ("an audience with a number in it", {"aud": [AUDIENCE, 1]}, MALFORMED),
    ("a tenant that is no UUID", {"tenantId": "acme"}, MALFORMED),
    ("a UUID and a line feed", {"tenantId": base_claims()["tenantId"] + "\n"}, MALFORMED),
    ("no roles", {"roles": None}, None),
    ("roles in words", {"roles": "admin"}, MALFORMED),
    ("a role that is two", {"roles": ["user,admin"]}, MALFORMED),
    ("as many roles as may be", {"roles": ["r"] * MAX_LISTED}, None),
    ("one role more", {"roles": ["r"] * (MAX_LISTED + 1)}, MALFORMED),
    ("no scope", {"scope": None}, None),
    ("scopes in a list", {"scope": ["read"]}, MALFORMED),
    ("scopes two spaces apart", {"scope": "read  write"}, MALFORMED),
]


@pytest.mark.parametrize(("changes", "reason"), [r[1:] for r in READ], ids=[r[0] for r in READ])
def test_reading(changes: dict[str, Any], reason: Reason | None) -> None:
    payload = base_claims(**changes)
    if reason is None:
        assert read_claims(payload, rules()).subject == "user-42"
        return
    with pytest.raises(Denied) as denied:
        read_claims(payload, rules())
    assert denied.value.reason is reason


LEEWAY = rules().leeway_seconds
EXPIRES = base_claims()["exp"] + LEEWAY
HELD: list[tuple[str, dict[str, Any], float, Reason | None]] = [
    ("a moment before its end", {}, EXPIRES - 0.001, None),
    ("at its end", {}, EXPIRES, Reason.TOKEN_EXPIRED),
    ("at its beginning", {"nbf": NOW + LEEWAY}, NOW, None),
    ("a moment before", {"nbf": NOW + LEEWAY + 0.001}, NOW, Reason.TOKEN_NOT_YET_VALID),
    ("issued now, by a clock that is ahead", {"iat": NOW + LEEWAY}, NOW, None),
    ("in the future", {"iat": NOW + LEEWAY + 1}, NOW, Reason.TOKEN_ISSUED_IN_FUTURE),
    ("for as long as may be", {"iat": NOW - 10, "exp": NOW + 890}, NOW, None),
    ("too long", {"iat": NOW - 10, "exp": NOW + 891}, NOW, Reason.TOKEN_LIFETIME_TOO_LONG),
    ("another audience", {"aud": "https://other.example"}, NOW, Reason.AUDIENCE_MISMATCH),
    ("one audience of two", {"aud": ["https://other.example", AUDIENCE]}, NOW, None),
]


@pytest.mark.parametrize(
    ("changes", "now", "reason"), [row[1:] for row in HELD], ids=[row[0] for row in HELD]
)
def test_holding_against_the_policy(
    changes: dict[str, Any], now: float, reason: Reason | None
) -> None:
    held = rules()
    claims = read_claims(base_claims(**changes), held)
    period = validity(claims, held)
    if reason is None:
        check_claims(claims, held, now)
        assert period.starts_at <= now < period.ends_at
        return
    with pytest.raises(Denied) as denied:
        check_claims(claims, held, now)
    assert denied.value.reason is reason


JKT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


@pytest.mark.parametrize("mapping", [None, MODEL_MAPPING], ids=["the model's", "mapped"])
def test_no_reader_of_claims_takes_a_bound_token_for_a_bearer_token(
    mapping: ClaimsMapping | None,
) -> None:
    policy = IssuerPolicy(frozenset({AUDIENCE}), mapping=mapping)
    claims = base_claims(cnf={"jkt": JKT})
    assert read_claims(claims, policy).confirmation == Confirmation(JKT)
    for cnf in ({"jkt": JKT}, {"kid": "x"}, {}, "x", None):
        raw = json.dumps({**base_claims(), "cnf": cnf}, separators=(",", ":")).encode()
        plain = read_plain_claims(raw, policy, ISSUER, NOW)
        assert plain is None or plain.confirmation == Confirmation(JKT)
        if cnf != {"jkt": JKT}:
            assert plain is None
            with pytest.raises(Denied):
                read_claims({**base_claims(), "cnf": cnf}, policy)
