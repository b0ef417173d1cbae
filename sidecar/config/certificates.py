"""The settings of certificates: who issues them, and which are held (SECURITY-MODEL §5, §9)."""

from typing import Annotated

from msgspec import Meta

from sidecar.config.base import HostPattern, Label, Settings, Text, VaultPath


class VaultPkiIssuer(Settings, frozen=True, tag_field="type", tag="vault_pki"):
    """A CA in Vault PKI. The key is made here; the CA sees a CSR (``<mount>/sign/<role>``)."""

    name: Label
    role: VaultPath
    mount: VaultPath = "pki"
    ttl_seconds: Annotated[int, Meta(ge=60, le=34_560_000)] = 7_776_000


class VaultKvIssuer(Settings, frozen=True, tag_field="type", tag="vault_kv"):
    """Certificates that somebody else obtained and stored in Vault KV v2, as PEM.

    The entry of a certificate is ``<prefix>/<name>``; of a wildcard, ``_wildcard.<rest>``.
    """

    name: Label
    prefix: VaultPath
    mount: VaultPath = "secret"
    certificate_field: Text = "certificate"
    key_field: Text = "private_key"
    poll_seconds: Annotated[float, Meta(ge=0.1, le=86_400)] = 60.0


class Certificate(Settings, frozen=True):
    """One certificate served over SDS under ``name``, had from the issuer of that name."""

    name: Text
    issuer: Label
    common_name: HostPattern
    alt_names: Annotated[tuple[HostPattern, ...], Meta(max_length=100)] = ()
