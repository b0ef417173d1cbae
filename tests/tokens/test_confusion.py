"""Confusion attacks: of algorithms, in every pair, and of issuers that have something in common.

RFC 8725 §2.1, §2.2, §2.8, §3.1, §3.8, §3.9.
"""

import json
from typing import Any

import pytest

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.algorithms import ALGORITHMS
from sidecar.tokens.claim_path import parse_claim_path
from sidecar.tokens.claims import MODEL_MAPPING
from sidecar.tokens.keyring import KeyRing, VerificationKey
from sidecar.tokens.mapping import ClaimsMapping, TenantPlace
from sidecar.tokens.policy import ABSENT_TYPE, IssuerPolicy, TokenPolicy
from sidecar.tokens.verifier import verify_token
from tests.support.algorithms import sign, sign_parts, verification_key
from tests.support.minting import AUDIENCE, ISSUER, NOW, TENANT, Issuer, base_claims, policy, rules

NAMES = sorted(ALGORITHMS)
OTHER = "https://other.example"
OTHER_TENANT = TENANT.replace("7", "8")


def refused(token: bytes, ring: KeyRing, rules_of_all: TokenPolicy) -> Reason:
    with pytest.raises(Denied) as denied:
        verify_token(token, ring, rules_of_all, NOW)
    return denied.value.reason


@pytest.mark.parametrize("name", NAMES)
def test_a_token_of_the_keys_algorithm_is_accepted(name: str) -> None:
    ring = KeyRing([verification_key(name)])
    assert verify_token(sign(name), ring, policy(), NOW).claims.subject == "user-42"


@pytest.mark.parametrize("bound", NAMES)
@pytest.mark.parametrize(
    "named", [*NAMES, "HS256", "none", "NONE", "", "es256", None, 1, ["ES256"]]
)
def test_a_header_never_picks_the_algorithm(bound: str, named: Any) -> None:
    """Signed rightly by the key's own algorithm, the header names another one."""
    if named == bound:
        return
    token = sign_parts(bound, {"alg": named, "typ": "JWT", "kid": "key-1"}, base_claims())
    ring = KeyRing([verification_key(bound)])
    assert refused(token, ring, policy()) is Reason.ALGORITHM_NOT_ALLOWED


RSA = [name for name in NAMES if ALGORITHMS[name].kty == "RSA"]


@pytest.mark.parametrize("bound", RSA)
@pytest.mark.parametrize("signed", RSA)
def test_one_rsa_key_verifies_under_one_algorithm_alone(bound: str, signed: str) -> None:
    """The same RSA key signs by another scheme or digest, and the header says so or not."""
    if signed == bound:
        return
    ring = KeyRing([verification_key(bound)])
    assert refused(sign(signed), ring, policy()) is Reason.ALGORITHM_NOT_ALLOWED
    said = sign(signed, {"alg": bound})
    assert refused(said, ring, policy()) is Reason.SIGNATURE_INVALID


def two(**changes: IssuerPolicy) -> TokenPolicy:
    return TokenPolicy(
        {ISSUER: changes.get("ours", rules()), OTHER: changes.get("theirs", rules())}, others=None
    )


def key(name: str, issuer: str, number: int) -> VerificationKey:
    return verification_key(name, issuer=issuer, number=number)


def test_two_issuers_of_one_kid_each_have_their_own_algorithm() -> None:
    """Neither is reached through the other: not by its key, its algorithm or its name."""
    ring = KeyRing([key("ES256", ISSUER, 1), key("RS256", OTHER, 2)])
    ours, theirs = sign("ES256", number=1), sign("RS256", number=2, iss=OTHER)
    assert verify_token(ours, ring, two(), NOW).key.issuer == ISSUER
    assert verify_token(theirs, ring, two(), NOW).key.issuer == OTHER
    assert refused(sign("ES256", number=1, iss=OTHER), ring, two()) is Reason.ISSUER_MISMATCH
    assert refused(sign("RS256", number=2), ring, two()) is Reason.ISSUER_MISMATCH
    assert refused(sign("RS256", number=3), ring, two()) is Reason.SIGNATURE_INVALID


def test_two_issuers_of_one_key_set_each_have_one_binding() -> None:
    """A shared key set is two keys: which one a token is for, its issuer says."""
    ring = KeyRing([key("ES256", ISSUER, 1), key("ES256", OTHER, 1)])
    for issuer in (ISSUER, OTHER):
        for keep_payload in (False, True):
            token = sign("ES256", number=1, iss=issuer)
            verified = verify_token(token, ring, two(), NOW, keep_payload=keep_payload)
            assert (verified.key.issuer, verified.claims.issuer) == (issuer, issuer)
    with pytest.raises(Denied) as denied:
        verify_token(sign("ES256", number=1, iss="https://third.example"), ring, two(), NOW)
    assert denied.value.reason is Reason.ISSUER_MISMATCH


ALLOWANCES: list[tuple[str, dict[str, Any], dict[str, Any], Reason]] = [
    ("typ", {"types": frozenset({ABSENT_TYPE})}, {"typ": None}, Reason.TOKEN_TYPE_NOT_ALLOWED),
    (
        "a header parameter",
        {"tolerated": frozenset({"x5t"})},
        {"x5t": "AAAA"},
        Reason.HEADER_PARAMETER_NOT_ALLOWED,
    ),
]


@pytest.mark.parametrize(
    ("allowed", "header", "reason"), [row[1:] for row in ALLOWANCES], ids=[a[0] for a in ALLOWANCES]
)
def test_one_issuers_allowance_never_serves_another(
    allowed: dict[str, Any], header: dict[str, Any], reason: Reason
) -> None:
    """The very same header, byte for byte and cached, with either issuer's signature first."""
    ring = KeyRing([key("ES256", ISSUER, 1), key("ES256", OTHER, 2)])
    both = two(theirs=rules(**allowed))
    theirs = sign("ES256", header, number=2, iss=OTHER)
    ours = sign("ES256", header, number=1)
    for _ in range(2):
        assert verify_token(theirs, ring, both, NOW).key.issuer == OTHER
        assert refused(ours, ring, both) is Reason.SIGNATURE_INVALID
    alone = KeyRing([key("ES256", ISSUER, 1)])
    assert refused(ours, alone, both) is reason


@pytest.mark.parametrize("odd", [None, 5, ["x"], ISSUER + "/"])
def test_with_one_key_set_an_odd_issuer_is_nobodys(odd: Any) -> None:
    ring = KeyRing([key("ES256", ISSUER, 1), key("ES256", OTHER, 1)])
    reason = refused(sign("ES256", number=1, iss=odd), ring, two())
    assert reason in {Reason.ISSUER_MISMATCH, Reason.CLAIM_MALFORMED, Reason.CLAIM_MISSING}


def test_an_allowance_of_one_key_set_is_each_issuers_own() -> None:
    """With one key set of both, the strict issuer's name does not borrow the other's header."""
    ring = KeyRing([key("ES256", ISSUER, 1), key("ES256", OTHER, 1)])
    both = two(theirs=rules(types=frozenset({ABSENT_TYPE})))
    token = sign("ES256", {"typ": None}, number=1)
    assert refused(token, ring, both) is Reason.TOKEN_TYPE_NOT_ALLOWED


def mapped(table: dict[str, str]) -> ClaimsMapping:
    return ClaimsMapping(
        tenant=TenantPlace(parse_claim_path("org"), table=table),
        user=MODEL_MAPPING.user,
        token_id=MODEL_MAPPING.token_id,
        client=None,
        roles=MODEL_MAPPING.roles,
        scopes=MODEL_MAPPING.scopes,
    )


def test_one_word_for_a_tenant_means_another_with_each_issuer() -> None:
    ring = KeyRing([key("ES256", ISSUER, 1), key("ES256", OTHER, 2)])
    both = two(
        ours=rules(mapping=mapped({"acme": TENANT})),
        theirs=rules(mapping=mapped({"acme": OTHER_TENANT})),
    )
    ours = verify_token(sign("ES256", number=1, org="acme"), ring, both, NOW)
    theirs = verify_token(sign("ES256", number=2, org="acme", iss=OTHER), ring, both, NOW)
    assert (ours.claims.tenant_id, theirs.claims.tenant_id) == (TENANT, OTHER_TENANT)


@pytest.mark.parametrize("word", [TENANT, TENANT.upper(), "", "acme ", "ACME"])
def test_an_issuer_with_a_table_names_no_tenant_of_another(word: str) -> None:
    ring = KeyRing([key("ES256", OTHER, 2)])
    both = two(theirs=rules(mapping=mapped({"acme": OTHER_TENANT})))
    token = sign("ES256", number=2, org=word, tenantId=TENANT, iss=OTHER)
    assert refused(token, ring, both) in {Reason.TENANT_UNKNOWN, Reason.CLAIM_MALFORMED}


def test_a_claim_beside_the_mapped_one_is_never_looked_at() -> None:
    ring = KeyRing([key("ES256", OTHER, 2)])
    both = two(theirs=rules(mapping=mapped({"acme": OTHER_TENANT})))
    token = sign("ES256", number=2, org="acme", tenantId=TENANT, iss=OTHER)
    for keep_payload in (True, False):
        read = verify_token(token, ring, both, NOW, keep_payload=keep_payload).claims
        assert read.tenant_id == OTHER_TENANT


@pytest.mark.parametrize("keep_payload", [True, False])
@pytest.mark.parametrize(
    "twice",
    ['"org":"acme"', '"realm":{"a":1,"a":2}', '"list":[{"a":1,"a":2}]', '"org" :"acme"'],
)
def test_a_member_twice_has_no_reading_at_any_depth(twice: str, keep_payload: bool) -> None:
    """On the fast path as on the other one."""
    payload = json.dumps(base_claims(org="acme"), separators=(",", ":"))[:-1] + f",{twice}}}"
    header = json.dumps({"alg": "ES256", "typ": "JWT", "kid": "key-1"})
    signer = Issuer.generate()
    token = signer.mint_raw(header, payload)
    one = TokenPolicy({ISSUER: rules(mapping=mapped({"acme": TENANT}))}, others=None)
    with pytest.raises(Denied) as denied:
        verify_token(token, signer.ring, one, NOW, keep_payload=keep_payload)
    assert denied.value.reason is Reason.TOKEN_MALFORMED


def test_each_issuer_has_its_own_audiences_and_times() -> None:
    ring = KeyRing([key("ES256", ISSUER, 1), key("ES256", OTHER, 2)])
    both = two(
        theirs=rules(audiences=frozenset({"theirs"}), max_lifetime_seconds=3600, leeway_seconds=0)
    )
    long: dict[str, Any] = {"exp": NOW + 3590, "iat": NOW, "nbf": NOW}
    token = sign("ES256", number=2, iss=OTHER, aud="theirs", **long)
    assert verify_token(token, ring, both, NOW).claims.audience == ("theirs",)
    for claims, reason in (
        ({"iss": OTHER, "aud": AUDIENCE}, Reason.AUDIENCE_MISMATCH),
        ({"iss": OTHER, "aud": "theirs", "exp": NOW - 1}, Reason.TOKEN_EXPIRED),
    ):
        assert refused(sign("ES256", number=2, **claims), ring, both) is reason
    assert refused(sign("ES256", number=1, **long), ring, both) is Reason.TOKEN_LIFETIME_TOO_LONG
    assert refused(sign("ES256", number=1, aud="theirs"), ring, both) is Reason.AUDIENCE_MISMATCH
