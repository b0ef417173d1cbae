"""Compiles the settings of token issuers into the rules of the verifier."""

from hashlib import sha256

import msgspec
from msgspec.structs import replace

from sidecar.authz.claim_reading import reading_of
from sidecar.config import model
from sidecar.tokens.claim_path import parse_claim_path
from sidecar.tokens.claims import MODEL_MAPPING
from sidecar.tokens.mapping import ClaimsMapping, NamesPlace, TableSource, TenantPlace
from sidecar.tokens.policy import (
    ABSENT_TYPE,
    AT_JWT_TYPES,
    DEFAULT_REQUIRED,
    JWT_TYPES,
    IssuerPolicy,
    TokenPolicy,
)

_TYPES = {"JWT": JWT_TYPES, "at+jwt": AT_JWT_TYPES, "absent": frozenset({ABSENT_TYPE})}


def token_policy(tokens: model.Tokens, *, record_inputs: bool = False) -> TokenPolicy:
    """Compile the rules of tokens; an issuer that is not listed has none.

    With ``record_inputs`` they say how claims are read, for the audit log.
    """
    issuers = {entry.issuer: issuer_policy(entry, tokens) for entry in tokens.issuers}
    if record_inputs:
        issuers = {
            issuer: replace(rules, recorded=reading_of(rules, tokens.pii))
            for issuer, rules in issuers.items()
        }
    return TokenPolicy(
        issuers=issuers,
        max_token_bytes=tokens.max_token_bytes,
        algorithms=frozenset(name for entry in tokens.issuers for name in entry.algorithms),
        others=None,
    )


def rules_digest(config: model.Config) -> str:
    """Return a digest of everything in a configuration that decides about a token alone."""
    tokens = replace(config.tokens, cache_entries=0)
    decided_by = msgspec.json.encode((tokens, config.keys.denied_kids))
    return sha256(decided_by).hexdigest()[:12]


def issuer_policy(entry: model.TokenIssuerSettings, tokens: model.Tokens) -> IssuerPolicy:
    """Compile the rules of one issuer's tokens; what it does not say is as for all."""
    required, paths = _required(entry, tokens)
    lifetime, leeway = entry.max_lifetime_seconds, entry.leeway_seconds
    refuses_nonce = entry.claims is not None or "absent" in entry.types
    mapping = None if entry.claims is None else claims_mapping(entry.claims, entry.issuer)
    has_models_claims = (
        required | {"nbf"} == DEFAULT_REQUIRED
        and not paths
        and entry.audience_claim == "aud"
        and not refuses_nonce
    )
    return IssuerPolicy(
        audiences=frozenset(entry.audiences),
        leeway_seconds=tokens.leeway_seconds if leeway is None else leeway,
        max_lifetime_seconds=tokens.max_lifetime_seconds if lifetime is None else lifetime,
        required=required,
        required_paths=tuple(map(parse_claim_path, paths)),
        types=frozenset[str]().union(*(_TYPES[name] for name in entry.types)),
        tolerated=frozenset(entry.tolerate_headers),
        audience_claim=entry.audience_claim,
        mapping=mapping if mapping is not None or has_models_claims else MODEL_MAPPING,
        may_hold_pii=frozenset(_shown(path) for path in entry.pii.allowed),
        refuses_nonce=refuses_nonce,
    )


def claims_mapping(claims: model.ClaimsSettings, issuer: str) -> ClaimsMapping:
    """Compile where an issuer's tokens have what the platform must know.

    A table that is read while the sidecar runs is not in it yet (``tokens.tenant_tables``).
    """
    tenant = claims.tenant
    return ClaimsMapping(
        tenant=TenantPlace(
            parse_claim_path(tenant.path),
            tenant.type,
            tenant.tenants,
            tenant.fixed,
            _table_source(tenant, issuer),
        ),
        user=parse_claim_path(claims.user),
        token_id=parse_claim_path(claims.jti),
        client=None if claims.client is None else parse_claim_path(claims.client),
        roles=tuple(map(_names, claims.roles)),
        scopes=tuple(map(_names, claims.scopes)),
    )


def _table_source(tenant: model.TenantClaim, issuer: str) -> TableSource | None:
    """Return where an issuer's table of tenants is read from, if it is read at all."""
    entry = tenant.tenants_from
    return None if entry is None else TableSource(issuer, entry.mount, entry.path)


def _names(place: model.NamesClaim) -> NamesPlace:
    return NamesPlace(
        parse_claim_path(place.path),
        place.type,
        place.prefix or "",
        place.strip_prefix,
        place.optional,
    )


def _required(
    entry: model.TokenIssuerSettings, tokens: model.Tokens
) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return which of the claims with a meaning must be there, and the paths of others."""
    listed = tokens.required_of(entry)
    others = tuple(path for path in listed if path not in DEFAULT_REQUIRED)
    return DEFAULT_REQUIRED.intersection(listed), others


def _shown(path: str) -> str:
    """Return a path as a finding names a claim: its names with dots between them."""
    return ".".join(name or "*" for name in parse_claim_path(path).segments)
