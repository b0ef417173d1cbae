"""The tenant context headers, which the application trusts: user and tenant of a request.

The application trusts these headers, so a client must never be able to set them. Each is either
overwritten or removed, and the spellings that CGI-style servers map to the same variable
(``x_tenant_id`` for ``x-tenant-id``) are removed with it.

This is the second line of defence. The first is Envoy's ``header_mutation``
(``envoy_patterns``), which supports patterns: the answer to a Check can only list names, and
each of them costs Envoy a thousand instructions per request.
"""

from collections.abc import Collection, Iterable
from itertools import product

from sidecar.config.overrides import OVERRIDES, PROOF_HEADERS
from sidecar.tokens.claims import Claims

TENANT_ID = "x-tenant-id"
USER_ID = "x-user-id"
ROLES = "x-roles"
JWT_ID = "x-token-id"
CSP_NONCE = "x-csp-nonce"
MODULE_PUBLISHER = "x-module-publisher"
MODULE_VERIFIED = "x-module-verified"
TRUSTED = (TENANT_ID, USER_ID, ROLES, JWT_ID, CSP_NONCE, MODULE_PUBLISHER, MODULE_VERIFIED)
"""Every header that only the sidecar may write."""


def tenant_headers(claims: Claims) -> dict[str, str]:
    """Return the request headers with a verified token's context.

    Roles are joined by commas; a token without roles sends no ``x-roles`` at all.
    ``claims`` has checked that every value is visible ASCII.
    """
    headers = {
        TENANT_ID: claims.tenant_id,
        USER_ID: claims.subject,
        JWT_ID: claims.token_id,
    }
    if claims.roles:
        headers[ROLES] = ",".join(claims.roles)
    return headers


def module_headers(publisher: str | None) -> dict[str, str]:
    """Return the request headers that say where an accepted bundle comes from."""
    if publisher is None:
        return {MODULE_VERIFIED: "false"}
    return {MODULE_VERIFIED: "true", MODULE_PUBLISHER: publisher}


def names_to_remove(removed: Iterable[str] = (), kept: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names that an answer tells Envoy to remove, in a stable order.

    Every trusted name and those of ``removed``, in both of the spellings that most servers
    equate; and, except those in ``kept``, the headers that would undo the decision itself, and
    proofs of bound tokens, which are for the sidecar. Envoy
    applies removals after settings, so a caller must omit the names that it sets.
    """
    folded = (spelling for name in (*TRUSTED, *removed) for spelling in _foldable_spellings(name))
    undoing = (each.name for each in OVERRIDES if each.decided_on and each.name not in kept)
    proofs = (name for name in sorted(PROOF_HEADERS) if name not in kept)
    return tuple(dict.fromkeys((*folded, *undoing, *proofs)))


def _foldable_spellings(name: str) -> list[str]:
    words = name.split("-")
    return [
        "".join(part for pair in zip(words, (*joints, ""), strict=True) for part in pair)
        for joints in product("-_", repeat=len(words) - 1)
    ]
