"""Only access tokens pass: what other kinds of an issuer's tokens say of themselves."""

import json
from typing import Any

import pytest

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.plain import read_plain_claims
from sidecar.tokens.verifier import verify_token
from tests.support.minting import ISSUER, NOW, Issuer, base_claims, policy, rules

REFRESH, OTHER = Reason.REFRESH_TOKEN_PRESENTED, Reason.TOKEN_TYPE_NOT_ALLOWED
EVENT: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
REFUSED: list[tuple[str, dict[str, Any], Reason]] = [
    ("Cognito's ID token", {"token_use": "id"}, OTHER),
    ("Keycloak's ID token", {"typ": "ID"}, OTHER),
    ("Keycloak's kept ID token", {"typ": "Serialized-ID"}, OTHER),
    ("Keycloak's logout token", {"typ": "Logout"}, OTHER),
    ("Keycloak's action token", {"typ": "verify-email"}, OTHER),
    ("Keycloak's registration token", {"typ": "RegistrationAccessToken"}, OTHER),
    ("Keycloak's DPoP-bound token, with no proof", {"typ": "DPoP"}, OTHER),
    ("ForgeRock's ID token", {"tokenName": "id_token"}, OTHER),
    ("token_type", {"token_type": "id_token"}, OTHER),
    ("tokenType", {"tokenType": "JWTToken"}, OTHER),
    ("token-use", {"token-use": "ID"}, OTHER),
    ("type", {"type": "ID_TOKEN"}, OTHER),
    ("one kind among several", {"type": ["user", "id"]}, OTHER),
    ("a kind that is no text", {"token_use": 1}, OTHER),
    ("a kind in an object", {"typ": {"a": "access"}}, OTHER),
    ("an empty kind", {"token_use": ""}, OTHER),
    ("a kind of two", {"typ": ["Bearer", "ID"]}, OTHER),
    ("an ID token's hash", {"at_hash": "x"}, OTHER),
    ("that looks like a kind", {"c_hash": "Bearer"}, OTHER),
    ("with its nonce", {"nonce": "n", "at_hash": "x"}, OTHER),
    ("of the code", {"nonce": "n", "c_hash": "x"}, OTHER),
    ("of the state", {"s_hash": "x"}, OTHER),
    ("of a refresh token", {"urn:openid:params:jwt:claim:rt_hash": "x"}, OTHER),
    ("in another spelling", {"atHash": "x"}, OTHER),
    ("a logout token", {"events": EVENT}, OTHER),
    ("an empty set of events", {"events": {}}, OTHER),
    ("a DPoP proof", {"htm": "GET", "htu": "https://x"}, OTHER),
    ("an introspection", {"token_introspection": {"active": True}}, OTHER),
    ("refresh by token_use", {"token_use": "refresh"}, REFRESH),
    ("Keycloak's refresh token", {"typ": "Refresh"}, REFRESH),
    ("Keycloak's offline token", {"typ": "Offline"}, REFRESH),
    ("refresh by type", {"type": "refresh_token"}, REFRESH),
    ("refresh by tokenType", {"tokenType": "Refresh-Token"}, REFRESH),
]
PASSES: list[tuple[str, dict[str, Any]]] = [
    ("Cognito", {"token_use": "access"}),
    ("Keycloak", {"typ": "Bearer"}),
    ("at+jwt", {"typ": "at+jwt"}),
    ("ForgeRock", {"tokenName": "access_token", "token_type": "Bearer"}),
    ("token_type", {"token_type": "access-token"}),
    ("a type that is the user's", {"type": "customer"}),
    ("no kind", {"typ": None}),
    ("a nonce alone", {"nonce": "n"}),
    ("events that are names", {"events": ["a", "b"]}),
    ("what ID tokens share", {"auth_time": NOW, "acr": "1", "azp": "web", "sid": "s"}),
]  # fmt: skip


def minted(issuer: Issuer, claims: dict[str, Any]) -> bytes:
    payload = json.dumps({**base_claims(), **claims}, separators=(",", ":"))
    return issuer.mint_raw(issuer.header(typ="JWT"), payload)


@pytest.mark.parametrize("keep_payload", [True, False], ids=["strict", "fast"])
@pytest.mark.parametrize(
    ("claims", "reason"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_refused(
    issuer: Issuer, claims: dict[str, Any], reason: Reason, keep_payload: bool
) -> None:
    with pytest.raises(Denied) as denied:
        verify_token(minted(issuer, claims), issuer.ring, policy(), NOW, keep_payload=keep_payload)
    assert denied.value.reason is reason
    assert any(repr(name) in denied.value.detail for name in claims), "it says which claim"


@pytest.mark.parametrize("keep_payload", [True, False], ids=["strict", "fast"])
@pytest.mark.parametrize("claims", [p[1] for p in PASSES], ids=[p[0] for p in PASSES])
def test_passes(issuer: Issuer, claims: dict[str, Any], keep_payload: bool) -> None:
    token = minted(issuer, claims)
    read = verify_token(token, issuer.ring, policy(), NOW, keep_payload=keep_payload).claims
    assert read.subject == base_claims()["sub"]


@pytest.mark.parametrize("name", sorted({name for _, claims, _ in REFUSED for name in claims}))
def test_the_fast_reader_leaves_these_to_the_strict_one(name: str) -> None:
    raw = json.dumps({**base_claims(), name: "Bearer"}, separators=(",", ":")).encode()
    read = read_plain_claims(raw, rules(), ISSUER, NOW)
    assert (read is None) == (name != "nonce")


HEADERS = [
    ("logout+jwt", OTHER), ("secevent+jwt", OTHER), ("dpop+jwt", OTHER), ("ID", OTHER),
    ("id+jwt", OTHER), ("client-authentication+jwt", OTHER), ("oauth-authz-req+jwt", OTHER),
    ("token-introspection+jwt", OTHER), ("application/logout+jwt", OTHER), ("", OTHER),
    ("rt+jwt", REFRESH), ("application/refresh+jwt", REFRESH), ("Refresh", REFRESH),
    ("Offline", REFRESH),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "reason"), HEADERS)
def test_what_the_header_says(issuer: Issuer, kind: str, reason: Reason) -> None:
    token = issuer.mint_raw(issuer.header(typ=kind), json.dumps(base_claims()))
    with pytest.raises(Denied) as denied:
        verify_token(token, issuer.ring, policy(), NOW)
    assert denied.value.reason is reason
