"""The settings of verification keys and of revocations (SECURITY-MODEL §3)."""

from typing import Annotated, Literal

from msgspec import Meta

from sidecar.config.base import CallSeconds, FilePath, Seconds, Settings, Text, VaultPath, text


class VaultKvKeys(Settings, frozen=True, tag_field="source", tag="vault_kv"):
    """A signing key in Vault KV v2. A private key found there is reduced to its public half."""

    path: VaultPath = "iam/jwt-signing-key"
    mount: VaultPath = "secret"
    field: Text = "value"


class VaultTransitKeys(Settings, frozen=True, tag_field="source", tag="vault_transit"):
    """An ``ecdsa-p256`` key of Vault transit: every version that may still verify."""

    name: Annotated[
        str,
        text(r"^[A-Za-z0-9_.-]{1,128}$", "a key's name, of letters, digits, _, . and -", 128),
    ]
    mount: VaultPath = "transit"


class JwksKeys(Settings, frozen=True, tag_field="source", tag="jwks"):
    """A JWK Set over HTTPS."""

    url: Annotated[str, text(r"^https://[^\s]+$", "an https:// URL", 2048)]
    ca_file: FilePath | None = None
    timeout_seconds: CallSeconds = 5.0


class OidcKeys(Settings, frozen=True, tag_field="source", tag="oidc"):
    """A JWK Set where the issuer's own metadata say it is (OpenID Connect Discovery, RFC 8414)."""

    ca_file: FilePath | None = None
    timeout_seconds: CallSeconds = 5.0


KeySourceSettings = VaultKvKeys | VaultTransitKeys | JwksKeys | OidcKeys


class RevocationsSettings(Settings, frozen=True):
    """Revocations: an entry of Vault KV v2, and all the entries below it.

    With ``spread: false`` only the entry at ``path``. ``max_age_seconds`` is as for keys.
    """

    path: VaultPath = "iam/revocations"
    mount: VaultPath = "secret"
    spread: bool = True
    poll_seconds: Annotated[float, Meta(ge=0.1, le=3600)] | None = None
    max_age_seconds: Seconds | None = None


class Keys(Settings, frozen=True):
    """How keys are refreshed, and when they stop verifying."""

    max_age_seconds: Seconds = 604_800.0
    poll_seconds: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0
    dual_key_seconds: Annotated[float, Meta(ge=0, le=31_536_000)] | None = None
    when_degraded: Literal["verify", "refuse"] = "verify"
    denied_kids: Annotated[tuple[Text, ...], Meta(max_length=1024)] = ()
    revocations: RevocationsSettings | None = None
