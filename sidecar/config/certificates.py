"""The settings of certificates: issuers, and configured certificates (SECURITY-MODEL §5, §9)."""

from typing import Annotated, Literal

from msgspec import Meta

from sidecar.config.base import (
    Address,
    FilePath,
    HostPattern,
    HttpUrl,
    Label,
    Settings,
    SpiffeId,
    Text,
    VaultPath,
    text,
)
from sidecar.config.dns01 import Dns01Settings
from sidecar.config.vault import VaultEntry

IpText = Annotated[str, text(r"^[0-9a-fA-F:.]+$", "an IPv4 or IPv6 address", 45)]
KEY_BITS = {"ec": (256, 384), "rsa": (2048, 3072, 4096)}
"""The sizes of each type of key, the default first: what Envoy serves."""


class CertificateKey(Settings, frozen=True):
    """The type of key that certificates are for; ``bits`` is by default the first of its type."""

    type: Literal["ec", "rsa"] = "ec"
    bits: Literal[256, 384, 2048, 3072, 4096] | None = None


class VaultPkiIssuer(Settings, frozen=True, tag_field="type", tag="vault_pki"):
    """A CA in Vault PKI. The key is made here; the CA sees a CSR (``<mount>/sign/<role>``).

    Without ``key`` it is EC P-256, or what the role demands.
    """

    name: Label
    role: VaultPath
    mount: VaultPath = "pki"
    ttl_seconds: Annotated[int, Meta(ge=60, le=34_560_000)] = 7_776_000
    share: bool = False
    key: CertificateKey | None = None
    crl_poll_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 300.0


class VaultKvIssuer(Settings, frozen=True, tag_field="type", tag="vault_kv"):
    """Certificates that another system stores in Vault KV v2, as PEM.

    The entry of a certificate is ``<prefix>/<name>``, of a wildcard ``_wildcard.<rest>``.
    """

    name: Label
    prefix: VaultPath
    mount: VaultPath = "secret"
    certificate_field: Text = "certificate"
    key_field: Text = "private_key"
    poll_seconds: Annotated[float, Meta(ge=0.1, le=86_400)] = 60.0


class AcmeIssuerSettings(Settings, frozen=True, tag_field="type", tag="acme"):
    """An ACME CA (RFC 8555); needs ``certificate_store``, where its certificates are shared.

    ``account`` is the entry of the account's key; the first sidecar that needs it writes it.
    ``external_account`` has ``kid`` and ``hmac_key``, for a CA with external account binding.
    ``dns`` is for the challenge dns-01, the only one that proves wildcards.
    """

    name: Label
    directory: HttpUrl
    account: VaultEntry
    agree_to_terms: bool
    contacts: Annotated[
        tuple[
            Annotated[str, text(r"^mailto:[^\s@]+@[^\s@]+$", "mailto: and an e-mail address", 320)],
            ...,
        ],
        Meta(max_length=8),
    ] = ()
    ca_file: FilePath | None = None
    external_account: VaultEntry | None = None
    challenge: Literal["http-01", "tls-alpn-01", "dns-01"] = "http-01"
    dns: Dns01Settings | None = None
    profile: Label | None = None
    key: CertificateKey = CertificateKey()
    fallback: Label | None = None
    timeout_seconds: Annotated[float, Meta(gt=0, le=120)] = 15.0
    edge_seconds: Annotated[float, Meta(ge=0.1, le=600)] = 20.0

    @property
    def connects_to_edge(self) -> bool:
        """Whether the CA connects to our edge to see a challenge, and not to the DNS."""
        return self.challenge != "dns-01"


IssuerSettings = VaultPkiIssuer | VaultKvIssuer | AcmeIssuerSettings


class CertificateStoreSettings(Settings, frozen=True):
    """Where in Vault KV v2 a fleet stores its certificates, leases and challenges.

    A sidecar that orders refreshes its lease; one that dies is taken over ``lease_seconds``
    later. ``order_seconds`` bounds one order.
    """

    prefix: VaultPath = "septem/certificates"
    mount: VaultPath = "secret"
    lease_seconds: Annotated[float, Meta(ge=1, le=3600)] = 15.0
    order_seconds: Annotated[float, Meta(ge=1, le=3600)] = 180.0


PUBLIC_ROOTS = "public"


class Probe(Settings, frozen=True):
    """Where a certificate should be served; probed after each change and at an interval.

    With ``roots`` (``public``, or the name of a trust bundle) as a client that believes those.
    """

    address: Address
    within_seconds: Annotated[float, Meta(gt=0, le=600)] = 15.0
    every_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 300.0
    roots: Text | None = None


class Certificate(Settings, frozen=True):
    """One certificate served over SDS under ``name``, from the issuer named ``issuer``.

    For hosts (``common_name``, ``alt_names``), for a service (``spiffe_id``), for addresses
    (``ip_addresses``), or for several of these. ``when_revoked`` says what Envoy is given while a
    revoked one can't be replaced: nothing, so that it keeps what it has, or a self-signed one
    that no client takes.
    """

    name: Text
    issuer: Label
    common_name: HostPattern | None = None
    alt_names: Annotated[tuple[HostPattern, ...], Meta(max_length=100)] = ()
    spiffe_id: SpiffeId | None = None
    ip_addresses: Annotated[tuple[IpText, ...], Meta(max_length=100)] = ()
    probe: Probe | None = None
    when_revoked: Literal["keep", "self_signed"] = "keep"
