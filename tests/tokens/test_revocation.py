"""What is revoked before its time."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.claims import Claims, read_claims
from sidecar.tokens.revocation import Revocations, read_revocations
from sidecar.tokens.verifier import verify_token
from tests.support.minting import ISSUER, NOW, TENANT, Issuer, base_claims, policy, rules

RETENTION = 930.0
OTHER = "0f0f0f0f-0000-4000-8000-000000000000"


def revocations(now: float = NOW, **entry: Any) -> Revocations:
    return Revocations(read_revocations(entry), now, RETENTION)


def claims_of(**changes: Any) -> Claims:
    """Return claims as of a token that verified."""
    return read_claims(base_claims() | changes, rules())


def token(jti: str = "tok-1", exp: float = NOW + 600) -> dict[str, Any]:
    return {"iss": ISSUER, "jti": jti, "exp": exp}


def subject(before: float, sub: str = "user-42", iss: str = ISSUER) -> dict[str, Any]:
    return {"iss": iss, "sub": sub, "issued_before": before}


def tenant(before: float, name: str = TENANT) -> dict[str, Any]:
    return {"tenant": name, "issued_before": before}


ROWS: list[tuple[str, dict[str, Any], bool]] = [
    ("nothing", {}, False),
    ("this token", {"tokens": [token()]}, True),
    ("another token", {"tokens": [token("tok-2")]}, False),
    ("this jti of another issuer", {"tokens": [{**token(), "iss": "https://x"}]}, False),
    ("the subject, after", {"subjects": [subject(NOW)]}, True),
    ("the subject, at that second", {"subjects": [subject(NOW - 10)]}, False),
    ("the subject, before", {"subjects": [subject(NOW - 11)]}, False),
    ("another subject", {"subjects": [subject(NOW, sub="x")]}, False),
    ("this subject of another issuer", {"subjects": [subject(NOW, iss="x")]}, False),
    ("the tenant", {"tenants": [tenant(NOW)]}, True),
    ("the tenant, in capitals", {"tenants": [tenant(NOW, TENANT.upper())]}, True),
    ("the tenant, at that second", {"tenants": [tenant(NOW - 10)]}, False),
    ("the tenant, a moment after", {"tenants": [tenant(NOW - 9.999)]}, True),
    ("the subject, a moment after", {"subjects": [subject(NOW - 9.999)]}, True),
    ("another tenant", {"tenants": [tenant(NOW, OTHER)]}, False),
    ("two watermarks: the later counts", {"tenants": [tenant(NOW), tenant(NOW - 99)]}, True),
]


@pytest.mark.parametrize(("entry", "revoked"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_rows(issuer: Issuer, entry: dict[str, Any], revoked: bool) -> None:
    claims = verify_token(issuer.mint(), issuer.ring, policy(), NOW).claims
    listed = revocations(**entry)
    if not revoked:
        listed.check(claims)
        return
    with pytest.raises(Denied) as denied:
        listed.check(claims)
    assert denied.value.reason is Reason.TOKEN_REVOKED


def test_what_is_dropped_is_what_no_good_token_can_be_of(issuer: Issuer) -> None:
    """The oldest token that may still be good, at the last moment at which it may be."""
    issued_at = NOW - RETENTION
    raw = issuer.mint(iat=issued_at, nbf=issued_at, exp=NOW - 30)
    then = NOW - 0.001
    claims = verify_token(raw, issuer.ring, policy(), then).claims
    for entry in (
        {"tokens": [token(exp=claims.expires_at)]},
        {"subjects": [subject(issued_at + 0.001)]},
        {"tenants": [tenant(issued_at + 0.001)]},
    ):
        with pytest.raises(Denied):
            revocations(then, **entry).check(claims)


def test_the_twin_of_a_signature_does_not_pass(issuer: Issuer) -> None:
    """(r, n - s) verifies where (r, s) does: a list of token hashes would miss it."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    head, payload, signature = issuer.mint().split(b".")
    raw = urlsafe_b64decode(signature + b"==")
    r, s = raw[:32], int.from_bytes(raw[32:], "big")
    assert encode_dss_signature(int.from_bytes(r, "big"), s)
    twin = urlsafe_b64encode(r + (order - s).to_bytes(32, "big")).rstrip(b"=")
    claims = verify_token(b".".join((head, payload, twin)), issuer.ring, policy(), NOW).claims
    with pytest.raises(Denied):
        revocations(tokens=[token()]).check(claims)


def test_what_is_obsolete_is_dropped() -> None:
    entry: dict[str, Any] = {
        "tokens": [token("old", NOW - RETENTION), token("new", NOW - RETENTION + 1)],
        "subjects": [subject(NOW - RETENTION), subject(NOW, sub="x")],
        "tenants": [tenant(NOW - RETENTION - 1)],
    }
    assert len(revocations(**entry)) == 2


DIFFERENT: list[dict[str, Any]] = [
    {}, {"kids": ["k"]}, {"tokens": [token()]}, {"subjects": [subject(NOW)]},
    {"tenants": [tenant(NOW)]}, {"tenants": [tenant(NOW - 1)]},
]  # fmt: skip


def test_lists_are_equal_that_refuse_the_same() -> None:
    """What is equal is not handed on: a difference that is missed is a revocation that is."""
    for at, entry in enumerate(DIFFERENT):
        for other, beside in enumerate(DIFFERENT):
            assert (revocations(**entry) == revocations(**beside)) is (at == other)
    assert revocations() != object()
    twice: dict[str, Any] = {"tenants": [tenant(NOW), tenant(NOW - 1)]}
    assert revocations(**twice) == revocations(tenants=[tenant(NOW)])
