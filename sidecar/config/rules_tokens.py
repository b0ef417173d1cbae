"""The rules of token issuers: what one setting of an issuer says that another contradicts."""

from collections.abc import Iterator

from sidecar.config.claims import TenantClaim
from sidecar.config.keys import VaultTransitKeys
from sidecar.config.model import Config, TokenIssuerSettings
from sidecar.config.problem import Path, Problem


def check_token_issuers(config: Config) -> Iterator[Problem]:
    """Yield the problems of ``tokens.issuers[]``."""
    several = len(config.tokens.issuers) > 1
    for index, issuer in enumerate(config.tokens.issuers):
        where: Path = ("tokens", "issuers", index)
        yield from _lists(where, issuer)
        if isinstance(issuer.keys, VaultTransitKeys) and "ES256" not in issuer.algorithms:
            yield Problem(
                (*where, "algorithms"),
                "must have ES256: a key of Vault transit is of type ecdsa-p256",
            )
        yield from _user(where, issuer)
        if issuer.claims is not None:
            yield from _tenant((*where, "claims", "tenant"), issuer.claims.tenant, several=several)
            for name in ("roles", "scopes"):
                for at, place in enumerate(getattr(issuer.claims, name)):
                    if place.strip_prefix and place.prefix is None:
                        yield Problem(
                            (*where, "claims", name, at, "strip_prefix"), "is true without a prefix"
                        )


def token_issuer_warnings(config: Config) -> Iterator[Problem]:
    """Yield warnings of settings by which an issuer's tokens reach more than is often meant."""
    issuers = config.tokens.issuers
    for index, issuer in enumerate(issuers):
        where: Path = ("tokens", "issuers", index)
        if len(issuers) > 1 and _names_any_tenant(issuer):
            yield Problem(
                where,
                f"its tokens may name any tenant, those of the other {len(issuers) - 1} issuer(s) "
                "too: write claims.tenant with tenants, tenants_from or fixed",
            )
        twin = next((each for each in issuers[:index] if each.keys == issuer.keys), None)
        if twin is not None:
            yield Problem(
                (*where, "keys"),
                f"are the keys of {twin.issuer} too: whoever signs for one of them can sign for "
                "the other. That is meant with issuers of one provider alone, such as Entra's "
                "tenants; else read each issuer's keys from a place of its own",
            )
        if "absent" in issuer.types:
            yield Problem(
                (*where, "types"),
                "tokens without typ are accepted: an ID token of this issuer may pass for an "
                "access token where its audience is one of audiences; leave client ids out of "
                "these, and require a claim that only access tokens have",
            )
        if issuer.require is not None and "jti" not in issuer.require:
            yield Problem(
                (*where, "require"),
                "tokens without jti are accepted: such a token is revoked by the digest that the "
                "audit log has as its token_id",
            )


def _names_any_tenant(issuer: TokenIssuerSettings) -> bool:
    if issuer.claims is None:
        return True
    tenant = issuer.claims.tenant
    return tenant.fixed is None and tenant.tenants is None and tenant.tenants_from is None


def _lists(where: Path, issuer: TokenIssuerSettings) -> Iterator[Problem]:
    for name in ("algorithms", "types", "tolerate_headers", "require"):
        listed = getattr(issuer, name) or ()
        if len(set(listed)) < len(listed):
            yield Problem((*where, name), "lists something twice")


def _user(where: Path, issuer: TokenIssuerSettings) -> Iterator[Problem]:
    """Yield what is missing where tokens may have no user: they are then their client's."""
    optional = issuer.require is not None and "sub" not in issuer.require
    if optional and (issuer.claims is None or issuer.claims.client is None):
        yield Problem(
            (*where, "require"),
            "has no sub, so claims.client must say which client a token without a user is of",
        )
    if issuer.require is not None and issuer.audience_claim != "aud" and "aud" in issuer.require:
        yield Problem(
            (*where, "require"),
            f"has aud, which audience_claim {issuer.audience_claim} says no token has",
        )


def _tenant(where: Path, tenant: TenantClaim, *, several: bool) -> Iterator[Problem]:
    ways = {
        "tenants": tenant.tenants is not None,
        "tenants_from": tenant.tenants_from is not None,
        "any": tenant.any,
        "fixed": tenant.fixed is not None,
    }
    given = [name for name, is_given in ways.items() if is_given]
    if len(given) > 1:
        yield Problem(where, f"has {' and '.join(given)}, of which one says which tenant is meant")
    if not given and several:
        yield Problem(
            where,
            "needs tenants, tenants_from or fixed, so that this issuer's tokens can't name the "
            "tenants of another; or write any: true",
        )
