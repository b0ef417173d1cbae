"""The settings of access tokens: their issuers and their rules (SECURITY-MODEL §3)."""

from typing import Annotated, Literal

from msgspec import Meta

from sidecar.config.algorithms import AlgorithmName
from sidecar.config.base import Seconds, Settings, Text, text
from sidecar.config.claims import ClaimPath, ClaimsSettings
from sidecar.config.dpop import DpopSettings
from sidecar.config.keys import KeySourceSettings, VaultKvKeys

HeaderType = Literal["JWT", "at+jwt", "absent"]
LeewaySeconds = Annotated[float, Meta(ge=0, le=300)]
ToleratedHeader = Annotated[
    str,
    text(
        r"^(?!(?:alg|typ|kid|jku|jwk|x5u|x5c|crit|b64|zip|enc|cty|epk|apu|apv|iv|tag|p2s|p2c)$)"
        r"[A-Za-z0-9_.#-]+$",
        "a header parameter, but none about keys (jku, jwk, x5u, x5c) or signing (crit, b64, "
        "zip, enc, cty)",
        64,
    ),
]
"""A parameter that may be in the JOSE header; its value is never looked at."""


class IssuerPii(Settings, frozen=True):
    """Claims of one issuer that may hold personal data; every other claim is as ``tokens.pii``."""

    allowed: Annotated[tuple[ClaimPath, ...], Meta(max_length=32)] = ()


class TokenIssuerSettings(Settings, frozen=True):
    """Who may sign tokens, for whom, where their keys are, and what its tokens are like.

    What is not given is as for all issuers: ES256, ``typ`` JWT or at+jwt, the times of
    ``tokens``, the claims of the security model.
    """

    issuer: Text
    audiences: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=64)]
    keys: KeySourceSettings = VaultKvKeys()
    algorithms: Annotated[tuple[AlgorithmName, ...], Meta(min_length=1, max_length=11)] = ("ES256",)
    types: Annotated[tuple[HeaderType, ...], Meta(min_length=1, max_length=3)] = ("JWT", "at+jwt")
    tolerate_headers: Annotated[tuple[ToleratedHeader, ...], Meta(max_length=16)] = ()
    max_lifetime_seconds: Seconds | None = None
    leeway_seconds: LeewaySeconds | None = None
    require: Annotated[tuple[ClaimPath, ...], Meta(max_length=32)] | None = None
    audience_claim: Literal["aud", "client_id", "azp"] = "aud"
    claims: ClaimsSettings | None = None
    pii: IssuerPii = IssuerPii()


class Pii(Settings, frozen=True):
    """The handling of personal data in claims: e-mail addresses, phone numbers, IP addresses."""

    by_name: Literal["deny", "warn", "off"] = "deny"
    by_value: Literal["deny", "warn", "off"] = "warn"


class Tokens(Settings, frozen=True):
    """The rules for access tokens (SECURITY-MODEL §3)."""

    issuers: Annotated[tuple[TokenIssuerSettings, ...], Meta(min_length=1, max_length=32)]
    max_token_bytes: Annotated[int, Meta(ge=256, le=65_536)] = 8192
    max_lifetime_seconds: Seconds = 900.0
    leeway_seconds: LeewaySeconds = 30.0
    require_nbf: bool = True
    cache_entries: Annotated[int, Meta(ge=0, le=16_777_216)] = 65_536
    pii: Pii = Pii()
    dpop: DpopSettings = DpopSettings()

    @property
    def token_seconds(self) -> float:
        """How long a token can matter, in seconds: its longest life and the leeway."""
        return max(map(self.issuer_seconds, self.issuers), default=self._seconds(None, None))

    def required_of(self, issuer: TokenIssuerSettings) -> tuple[str, ...]:
        """Return which claims this issuer's tokens must have, besides ``iss`` and ``exp``."""
        if issuer.require is not None:
            return issuer.require
        return ("sub", "iat", "jti", "nbf") if self.require_nbf else ("sub", "iat", "jti")

    def issuer_seconds(self, issuer: TokenIssuerSettings) -> float:
        """How long a token of this issuer can matter, in seconds."""
        return self._seconds(issuer.max_lifetime_seconds, issuer.leeway_seconds)

    def _seconds(self, lifetime: float | None, leeway: float | None) -> float:
        longest = self.max_lifetime_seconds if lifetime is None else lifetime
        return longest + (self.leeway_seconds if leeway is None else leeway)
