"""The settings of access tokens: their issuers and their rules (SECURITY-MODEL §3)."""

from typing import Annotated, Literal

from msgspec import Meta

from sidecar.config.base import Seconds, Settings, Text
from sidecar.config.keys import KeySourceSettings, VaultKvKeys


class TokenIssuerSettings(Settings, frozen=True):
    """Who may sign tokens, for whom, and where their keys are."""

    issuer: Text
    audiences: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=64)]
    keys: KeySourceSettings = VaultKvKeys()


class Pii(Settings, frozen=True):
    """The handling of personal data in claims: e-mail addresses, phone numbers, IP addresses."""

    by_name: Literal["deny", "warn", "off"] = "deny"
    by_value: Literal["deny", "warn", "off"] = "warn"


class Tokens(Settings, frozen=True):
    """The rules for access tokens (SECURITY-MODEL §3)."""

    issuers: Annotated[tuple[TokenIssuerSettings, ...], Meta(min_length=1, max_length=32)]
    max_token_bytes: Annotated[int, Meta(ge=256, le=65_536)] = 8192
    max_lifetime_seconds: Seconds = 900.0
    leeway_seconds: Annotated[float, Meta(ge=0, le=300)] = 30.0
    require_nbf: bool = True
    cache_entries: Annotated[int, Meta(ge=0, le=16_777_216)] = 65_536
    pii: Pii = Pii()

    @property
    def token_seconds(self) -> float:
        """How long a token can matter, in seconds: its longest life and the leeway."""
        return self.max_lifetime_seconds + self.leeway_seconds
