"""The settings of secrets served over SDS: trust bundles, ticket keys, generic secrets."""

from typing import Annotated, Literal

from msgspec import Meta

from sidecar.config.base import ClientName, Settings, Text, VaultPath, text

PollSeconds = Annotated[float, Meta(ge=1, le=86_400)]
SpkiPin = Annotated[
    str,
    text(
        r"^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$",
        "the SHA-256 of a public key in base64, 44 characters",
        44,
    ),
]
"""Base64 of the SHA-256 of a SubjectPublicKeyInfo (RFC 7469 §2.4)."""


CrlReading = bool | Literal["where_there"]
"""Whether CRLs are read: each CA must have one (true), or those that have one (where_there)."""


class PkiTrust(Settings, frozen=True, tag_field="source", tag="vault_pki"):
    """The roots of all issuers of Vault PKI mounts; two while a CA is being replaced."""

    mounts: Annotated[tuple[VaultPath, ...], Meta(min_length=1, max_length=16)] = ("pki",)
    crl: CrlReading = False


class KvTrust(Settings, frozen=True, tag_field="source", tag="vault_kv"):
    """Roots as PEM in an entry of Vault KV v2, with their CRLs in another of its fields."""

    path: VaultPath
    mount: VaultPath = "secret"
    field: Text = "value"
    crl_field: Text | None = None


class TrustBundle(Settings, frozen=True):
    """Trusted roots, and the peers that are allowed under them (an SDS validation context)."""

    name: Text
    roots: PkiTrust | KvTrust = PkiTrust()
    peers: Annotated[tuple[ClientName, ...], Meta(max_length=256)] = ()
    spki_pins: Annotated[tuple[SpkiPin, ...], Meta(max_length=64)] = ()
    poll_seconds: PollSeconds = 60.0


class SessionTicketKeys(Settings, frozen=True):
    """Keys of TLS session tickets, made by one sidecar of a fleet and shared through Vault KV."""

    name: Text
    path: VaultPath
    mount: VaultPath = "secret"
    rotate_seconds: Annotated[float, Meta(ge=300, le=604_800)] = 43_200.0
    poll_seconds: PollSeconds = 60.0


class GenericSecret(Settings, frozen=True):
    """One field of an entry of Vault KV v2, for an Envoy filter that needs a secret."""

    name: Text
    path: VaultPath
    mount: VaultPath = "secret"
    field: Text = "value"
    poll_seconds: PollSeconds = 60.0
