"""What a token must be like to be accepted, issuer by issuer.

A key is bound to one issuer, and the key's issuer picks the rules: nothing in a token does, and
one issuer's allowance never serves another's tokens.
"""

from collections.abc import Mapping

import msgspec

from sidecar.tokens.algorithms import ES256
from sidecar.tokens.claim_path import ClaimPath
from sidecar.tokens.mapping import ClaimsMapping

MAX_TOKEN_BYTES = 8192
ABSENT_TYPE = ""
"""Among ``IssuerPolicy.types``: a header may have no ``typ``."""
JWT_TYPES = frozenset({"jwt", "application/jwt"})
AT_JWT_TYPES = frozenset({"at+jwt", "application/at+jwt"})
DEFAULT_REQUIRED = frozenset({"sub", "iat", "jti", "nbf"})


class ClaimReading(msgspec.Struct, frozen=True):
    """How an issuer's claims are read and searched, for a comparison with other rules.

    The audit log has it where ``audit.record_inputs`` is set: the claims of a line mean under
    other rules what they meant under these only where both are read alike.
    """

    digest: str = ""
    """Of where the claims are and what type they have; empty for the security model's."""
    of_tenants: Mapping[str, str] = {}
    """The digest for tenants that a table names, which is over the issuer's words for them too."""
    required: tuple[str, ...] | None = None
    """What must be there; ``None`` for ``DEFAULT_REQUIRED``."""
    unsought: tuple[str, ...] = ()
    """Where personal data is not looked for: by ``name``, by ``value``, in a claim."""

    def of_tenant(self, tenant_id: str) -> str:
        """Return the digest for the tokens of a tenant."""
        return self.of_tenants.get(tenant_id, self.digest)


class IssuerPolicy(msgspec.Struct, frozen=True):
    """The rules for one issuer's tokens; the defaults are the security model's.

    ``audiences`` are those it may issue tokens for; ``None`` accepts any, for reading tokens by
    hand and never for a server.
    """

    audiences: frozenset[str] | None = None
    leeway_seconds: float = 30.0
    max_lifetime_seconds: float = 900.0
    required: frozenset[str] = DEFAULT_REQUIRED
    """Which of ``sub``, ``iat``, ``jti`` and ``nbf`` must be there."""
    required_paths: tuple[ClaimPath, ...] = ()
    """Other claims that must be there."""
    types: frozenset[str] = JWT_TYPES | AT_JWT_TYPES
    """The header's ``typ``, in lower case."""
    tolerated: frozenset[str] = frozenset()
    """Header parameters that may be there and are never looked at."""
    audience_claim: str = "aud"
    mapping: ClaimsMapping | None = None
    """``None`` for tokens that have the security model's claims in every respect."""
    may_hold_pii: frozenset[str] = frozenset()
    refuses_nonce: bool = False
    """Where the header may not tell an ID token, ``nonce`` does (OpenID Connect Core §2)."""
    recorded: ClaimReading | None = None
    """How claims are read, where audit lines have them (``audit.record_inputs``)."""


class TokenPolicy(msgspec.Struct, frozen=True):
    """The limits of ``verify_token``: those of each issuer, and the size of all tokens.

    ``others`` are the rules for the issuers that are not listed: for reading tokens by hand,
    never for a server. The defaults accept any issuer.
    """

    issuers: Mapping[str, IssuerPolicy] = {}
    max_token_bytes: int = MAX_TOKEN_BYTES
    algorithms: frozenset[str] = frozenset({ES256.name})
    """Those of all issuers, for saying what would be accepted: which key is for which is the
    key ring's to say."""
    others: IssuerPolicy | None = IssuerPolicy()

    def of(self, issuer: str | None) -> IssuerPolicy | None:
        """Return the rules for the tokens of a key's issuer; ``None`` for none that is known."""
        return self.issuers.get(issuer, self.others) if issuer is not None else self.others
