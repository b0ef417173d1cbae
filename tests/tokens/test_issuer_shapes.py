"""Tokens in the shapes of twelve identity providers: with the settings for each, and without.

Each is evaluated whole, as a Check does it: its header, signature, claims, and personal data.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from sidecar.authz.snapshot import build_snapshot
from sidecar.common.errors import ConfigFault, Denied
from sidecar.config import parse_config
from sidecar.config.model import Config
from sidecar.tokens.algorithms import ALGORITHMS
from sidecar.tokens.claims import Claims
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.pii import check_pii
from sidecar.tokens.verifier import DERIVED_ID_PREFIX, VerifiedToken, verify_token
from tests.config.documents import MINIMAL
from tests.support.algorithms import sign_parts, verification_key
from tests.support.issuer_shapes import SHAPES, Shape
from tests.support.minting import NOW, TENANT

IDS = [shape.name for shape in SHAPES]


def configured(issuer: str, settings: str) -> Config:
    head, _, rest = MINIMAL.partition("  issuers:")
    listed = f"  issuers: [{{issuer: '{issuer}', {settings}}}]\n"
    return parse_config(head + listed + rest.partition("\n")[2], "test")


def accept(
    shape: Shape, settings: str, *, keep_payload: bool = True, **claims: Any
) -> VerifiedToken:
    """Verify the token, its claims changed, as the edge does with these settings."""
    payload = {name: value for name, value in {**shape.payload, **claims}.items() if value != ...}
    return accept_raw(shape, settings, shape.head, payload, keep_payload=keep_payload)


def accept_raw(
    shape: Shape,
    settings: str,
    header: Mapping[str, Any],
    payload: Mapping[str, Any],
    *,
    keep_payload: bool = True,
) -> VerifiedToken:
    snapshot = build_snapshot(configured(shape.issuer, settings), KeyRing())
    key = verification_key(shape.algorithm, issuer=shape.issuer)
    raw = sign_parts(str(header["alg"]), header, payload)
    token = verify_token(raw, KeyRing([key]), snapshot.tokens, NOW, keep_payload=keep_payload)
    rules = snapshot.tokens.of(shape.issuer)
    assert rules is not None
    if token.payload is not None:
        check_pii(token.payload, snapshot.pii_names, snapshot.pii_values, rules.may_hold_pii)
    return token


def reason(shape: Shape, settings: str, **claims: Any) -> str:
    with pytest.raises(Denied) as denied:
        accept(shape, settings, **claims)
    return str(denied.value.reason)


@pytest.mark.parametrize("keep_payload", [True, False], ids=["strict", "fast"])
@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_with_its_settings_it_is_accepted_and_mapped(shape: Shape, keep_payload: bool) -> None:
    claims = accept(shape, shape.settings, keep_payload=keep_payload).claims
    assert claims.tenant_id == TENANT
    assert (claims.issuer, claims.subject) == (shape.issuer, shape.user)
    assert (claims.roles, claims.scopes) == (shape.roles, shape.scopes)
    if shape.token_id:
        assert claims.token_id == shape.token_id
    else:
        assert claims.token_id.startswith(DERIVED_ID_PREFIX)


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_both_paths_read_the_same(shape: Shape) -> None:
    fast, strict = (accept(shape, shape.settings, keep_payload=keep) for keep in (False, True))
    assert fast.claims == strict.claims


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_without_them_it_is_refused(shape: Shape) -> None:
    """The key is bound to the algorithm of the settings all the same."""
    audience = f"audiences: ['{shape.audience}']"
    if shape.algorithm != "ES256":
        header = {**shape.head, "alg": "ES256"}
        with pytest.raises(Denied) as denied:
            accept_raw(shape, audience, header, shape.payload)
        assert str(denied.value.reason) == shape.refused
    else:
        assert reason(shape, audience) == shape.refused


def settings_apart(settings: str) -> Iterator[tuple[str, str]]:
    """Yield each setting but the audiences, and the settings without it."""
    depth, start, parts = 0, 0, []
    for place, character in enumerate(settings + ","):
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            parts.append(settings[start:place].strip())
            start = place + 1
    for part in parts:
        name = part.partition(":")[0]
        if name not in {"audiences", "algorithms", "require"}:
            yield name, ", ".join(each for each in parts if each != part)


WITHOUT = [
    pytest.param(shape, rest, id=f"{shape.name} without {name}")
    for shape in SHAPES
    for name, rest in settings_apart(shape.settings)
]


@pytest.mark.parametrize(("shape", "rest"), WITHOUT)
def test_each_setting_is_needed(shape: Shape, rest: str) -> None:
    """But ``types`` where the token has a ``typ``: it permits less than there is without it."""
    if "types" not in rest and "types" in shape.settings and "typ" in shape.header:
        assert accept(shape, rest).claims.tenant_id == TENANT
    else:
        with pytest.raises((Denied, ConfigFault)):
            accept(shape, rest)


BY_NAME = {shape.name: shape for shape in SHAPES}
KEYCLOAK, ENTRA = BY_NAME["Keycloak, a user"], BY_NAME["Entra, v2, a user"]
COGNITO, OKTA = BY_NAME["Cognito"], BY_NAME["Okta, a custom authorization server"]
ORGANIZATION = BY_NAME["Keycloak, ES256 and an organization with an id"]
PING, FIREBASE = (
    BY_NAME["PingOne, client credentials without a user"],
    BY_NAME["Firebase, Identity Platform"],
)
CHANGED: list[tuple[str, Shape, dict[str, Any], str]] = [
    ("no organization", KEYCLOAK, {"organization": ...}, "claim_missing"),
    ("two organizations", KEYCLOAK, {"organization": {"acme": {}, "b": {}}}, "claim_malformed"),
    ("a list of organizations", KEYCLOAK, {"organization": ["acme"]}, "claim_malformed"),
    ("another's organization", KEYCLOAK, {"organization": {"evil": {}}}, "tenant_unknown"),
    ("a role in words", KEYCLOAK, {"realm_access": {"roles": "admin"}}, "claim_malformed"),
    ("no roles", KEYCLOAK, {"realm_access": {}}, "claim_missing"),
    ("an ID token by its claim", KEYCLOAK, {"typ": "ID"}, "token_type_not_allowed"),
    ("a refresh token", KEYCLOAK, {"typ": "Refresh"}, "refresh_token_presented"),
    ("a nonce", KEYCLOAK, {"nonce": "n"}, "token_type_not_allowed"),
    ("a hash of an access token", KEYCLOAK, {"at_hash": "h"}, "token_type_not_allowed"),
    ("a telephone number", KEYCLOAK, {"phone": "x"}, "pii_in_token"),
    ("an address elsewhere", KEYCLOAK, {"user": {"email": "a@example.org"}}, "pii_in_token"),
    (
        "two organizations, one with an id",
        ORGANIZATION,
        {"organization": {"acme": {"id": "42a1"}, "b": {}}},
        "claim_malformed",
    ),
    ("an ID token, for want of scp", ENTRA, {"scp": ...}, "claim_missing"),
    ("another directory", ENTRA, {"tid": TENANT}, "tenant_unknown"),
    ("no object id", ENTRA, {"oid": ...}, "claim_missing"),
    ("a life of a day", ENTRA, {"exp": NOW + 86_400}, "token_lifetime_too_long"),
    ("an ID token's aud", COGNITO, {"aud": "c1"}, "claim_malformed"),
    ("an ID token", COGNITO, {"token_use": "id"}, "token_type_not_allowed"),
    ("another client", COGNITO, {"client_id": "c2"}, "audience_mismatch"),
    ("no client", COGNITO, {"client_id": ...}, "claim_missing"),
    ("scopes in words", OKTA, {"scp": "openid"}, "claim_malformed"),
    ("a client that would be a user", PING, {"client_id": "a b"}, "claim_malformed"),
    ("neither user nor client", PING, {"client_id": ...}, "claim_missing"),
    ("a user who would be a client", PING, {"sub": "client:c-7"}, "claim_malformed"),
    ("no tenant", FIREBASE, {"firebase": {}}, "claim_missing"),
    ("an address of another kind", FIREBASE, {"firebase": {"phone": "1"}}, "claim_missing"),
]


@pytest.mark.parametrize(
    ("shape", "claims", "why"), [row[1:] for row in CHANGED], ids=[row[0] for row in CHANGED]
)
def test_changed_it_is_refused(shape: Shape, claims: dict[str, Any], why: str) -> None:
    assert reason(shape, shape.settings, **claims) == why


HEADERS: list[tuple[str, Shape, dict[str, Any], str]] = [
    ("no typ", KEYCLOAK, {"typ": ...}, "token_type_not_allowed"),
    ("typ null", OKTA, {"typ": None}, "token_type_not_allowed"),
    ("typ empty", OKTA, {"typ": ""}, "token_type_not_allowed"),
    ("typ JWT where there is none", OKTA, {"typ": "JWT"}, "token_type_not_allowed"),
    ("at+jwt where JWT is sent", ENTRA, {"typ": "at+jwt"}, "token_type_not_allowed"),
    ("a DPoP proof", KEYCLOAK, {"typ": "dpop+jwt"}, "token_type_not_allowed"),
    ("a refresh token", KEYCLOAK, {"typ": "rt+jwt"}, "refresh_token_presented"),
    ("x5t that is not tolerated", KEYCLOAK, {"x5t": "x"}, "header_parameter_not_allowed"),
    ("jku", BY_NAME["Entra, v1"], {"jku": "https://e"}, "header_parameter_not_allowed"),
    ("crit", BY_NAME["Entra, v1"], {"crit": ["x5t"]}, "header_parameter_not_allowed"),
    ("another algorithm of the key", KEYCLOAK, {"alg": "PS256"}, "algorithm_not_allowed"),
    ("another kid", KEYCLOAK, {"kid": "other"}, "key_unknown"),
]


@pytest.mark.parametrize(
    ("shape", "header", "why"), [row[1:] for row in HEADERS], ids=[row[0] for row in HEADERS]
)
def test_with_another_header_it_is_refused(shape: Shape, header: dict[str, Any], why: str) -> None:
    head = {name: value for name, value in {**shape.head, **header}.items() if value != ...}
    with pytest.raises(Denied) as denied:
        accept_raw(shape, shape.settings, head, shape.payload)
    assert str(denied.value.reason) == why


def test_a_token_without_an_id_is_known_by_what_was_signed() -> None:
    """The same token has the same id, any other token another one."""
    first, again = (accept(FIREBASE, FIREBASE.settings).claims for _ in range(2))
    other = accept(FIREBASE, FIREBASE.settings, user_id="u2").claims
    assert first.token_id == again.token_id != other.token_id
    assert len(first.token_id) == len(DERIVED_ID_PREFIX) + 43


def claims_without_iat(**claims: Any) -> Claims:
    settings = FIREBASE.settings.replace("require: [sub, iat]", "require: [sub]")
    return accept(FIREBASE, settings, iat=..., **claims).claims


def test_without_iat_a_token_counts_as_old_as_it_can_be() -> None:
    claims = claims_without_iat(exp=NOW + 3599.5)
    assert claims.issued_at == NOW
    assert claims_without_iat(exp=NOW + 1).issued_at == NOW - 3599


def test_without_iat_a_longer_life_is_refused() -> None:
    with pytest.raises(Denied) as denied:
        claims_without_iat(exp=NOW + 3600 + 31)
    assert str(denied.value.reason) in {"token_not_yet_valid", "token_issued_in_future"}


def test_every_algorithm_of_the_shapes_is_one_of_the_table() -> None:
    assert {shape.algorithm for shape in SHAPES} <= set(ALGORITHMS)
