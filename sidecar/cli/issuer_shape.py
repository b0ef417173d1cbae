"""A token as an issuer sends it, from what it should say: the mapping of claims, backwards.

For tokens that are minted by hand (``sidecar token mint``) and for the cases of a policy
(``sidecar check``), so that they need not repeat where an issuer has its claims.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from sidecar.authz.token_policy import claims_mapping, issuer_policy
from sidecar.config import model
from sidecar.tokens.claim_path import ClaimPath
from sidecar.tokens.claims import MODEL_MAPPING
from sidecar.tokens.mapping import NamesPlace, TenantPlace

_MEMBER = "member"
"""The name of a member where a path has ``*``."""
_FILLER = "access"
"""The value of a claim that must only be there; one may be what names the token's kind."""
_EMPTY: Mapping[str, Any] = {"list": [], "keys": {}, "spaces": "", "string": None}
_MOVED = ("sub", "jti", "tenantId", "roles", "scope")


def without_stored_tables(config: model.Config) -> model.Config:
    """Return a configuration in which a tenant's word is its id wherever a table is in Vault.

    For evaluating without a server: no table is read there, and every tenant is taken for one
    that the table has.
    """

    def read(issuer: model.TokenIssuerSettings) -> model.TokenIssuerSettings:
        if issuer.claims is None or issuer.claims.tenant.tenants_from is None:
            return issuer
        tenant = msgspec.structs.replace(issuer.claims.tenant, tenants_from=None, any=True)
        claims = msgspec.structs.replace(issuer.claims, tenant=tenant)
        return msgspec.structs.replace(issuer, claims=claims)

    issuers = tuple(map(read, config.tokens.issuers))
    tokens = msgspec.structs.replace(config.tokens, issuers=issuers)
    return msgspec.structs.replace(config, tokens=tokens)


def shaped(
    claims: Mapping[str, Any], entry: model.TokenIssuerSettings, tokens: model.Tokens
) -> tuple[str | None, dict[str, Any]]:
    """Return the header's ``typ`` and the claims, as tokens of this issuer have them.

    ``claims`` are those of the security model. A tenant that the issuer has no word for is
    written as it is, and then denied.
    """
    rules = issuer_policy(entry, tokens)
    mapping = MODEL_MAPPING if entry.claims is None else claims_mapping(entry.claims, entry.issuer)
    made = {name: value for name, value in claims.items() if name not in _MOVED}
    if rules.audience_claim != "aud" and "aud" in made:
        audience = made.pop("aud")
        made[rules.audience_claim] = audience[0] if isinstance(audience, list) else audience
    for path, name in ((mapping.user, "sub"), (mapping.token_id, "jti")):
        if claims.get(name) is not None:
            _put(made, path, claims[name])
    if claims.get("tenantId") is not None and mapping.tenant.fixed is None:
        _put(made, mapping.tenant.path, _word(mapping.tenant, claims["tenantId"]))
    _put_names(made, mapping.roles, claims.get("roles"))
    scope = claims.get("scope")
    _put_names(made, mapping.scopes, scope.split(" ") if isinstance(scope, str) else scope)
    if mapping.client is not None and mapping.client.find(made) is None:
        _put(made, mapping.client, "client")
    for path in rules.required_paths:
        if path.find(made) is None:
            _put(made, path, _FILLER)
    typ = next((each for each in ("at+jwt", "JWT") if each in entry.types), None)
    return typ, made


def _word(place: TenantPlace, tenant_id: str) -> Any:
    """Return the issuer's word for a tenant, in the form of the claim."""
    table = place.table or {}
    word = next((word for word, ours in table.items() if ours == tenant_id), tenant_id)
    return {"string": word, "list": [word], "keys": {word: {}}}[place.type]


def _put_names(
    made: dict[str, Any], places: tuple[NamesPlace, ...], names: list[str] | None
) -> None:
    """Put the names at the first place, and what is empty where a claim must be there."""
    for number, place in enumerate(places):
        here = names if number == 0 else None
        if here is not None:
            _put(made, place.path, _listed(place, [_prefixed(place, name) for name in here]))
        elif not place.optional:
            _put(made, place.path, _EMPTY[place.type])


def _prefixed(place: NamesPlace, name: str) -> str:
    return place.prefix + name if place.strip_prefix else name


def _listed(place: NamesPlace, names: list[str]) -> Any:
    match place.type:
        case "keys":
            return {name: {} for name in names}
        case "spaces":
            return " ".join(names)
        case "string":
            return names[0] if names else None
        case _:
            return names


def _put(made: dict[str, Any], path: ClaimPath, value: Any) -> None:
    """Set the value at a path; what stands in its way gives way."""
    *above, last = (_MEMBER if name is None else name for name in path.segments)
    inside = made
    for name in above:
        below = inside.get(name)
        if not isinstance(below, dict):
            below = inside[name] = {}
        inside = below
    inside[last] = value
