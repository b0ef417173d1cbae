"""The source of a trust bundle: roots and CRLs from Vault PKI or Vault KV."""

from typing import Protocol

from cryptography import x509

from sidecar.common.clock import Now
from sidecar.config.secrets import KvTrust, PkiTrust, TrustBundle
from sidecar.sds.secrets.source import VersionedValue
from sidecar.vault.client import VaultClient
from sidecar.vault.trust import read_ca_issuers
from workload.x509.anchors import TrustAnchors, read_anchors, read_chain
from workload.x509.crls import BundleFault, split_crls

_MIN_PAUSE_SECONDS = 1.0


class AnchorReader(Protocol):
    """Reads roots and CRLs; ``VaultAnchors`` implements it."""

    async def __call__(self, settings: PkiTrust | KvTrust) -> tuple[list[str], list[str]]:
        """Return chains of certificates and CRLs, PEM."""


class BundleSource:
    """The anchors of one configured bundle."""

    kind = "trust_bundle"

    def __init__(self, settings: TrustBundle, read: AnchorReader, now: Now) -> None:
        self.settings = settings
        self.name = settings.name
        self._read = read
        self._now = now

    async def fetch(self) -> VersionedValue[TrustAnchors]:
        """Read the anchors; the next read is earlier if a CRL ends before the next poll."""
        chain_pems, crl_pems = await self._read(self.settings.roots)
        now = self._now()
        try:
            anchors = read_anchors(self._chains(chain_pems), crl_pems, now)
        except BundleFault as fault:
            raise BundleFault(f"trust bundle {self.name!r}: {fault}") from None
        pause = self.settings.poll_seconds
        if anchors.ends_at is not None:
            pause = max(_MIN_PAUSE_SECONDS, min(pause, (anchors.ends_at - now) / 2))
        return VersionedValue(anchors, anchors.version, pause, anchors.ends_at)

    def _chains(self, pems: list[str]) -> list[list[x509.Certificate]]:
        chains = [read_chain(pem) for pem in pems]
        if isinstance(self.settings.roots, KvTrust):
            # An operator wrote this list of roots: each is an anchor, whatever signed it.
            return [[each] for chain in chains for each in chain]
        return chains


class VaultAnchors:
    """Reads chains and CRLs from Vault (``AnchorReader``)."""

    def __init__(self, vault: VaultClient) -> None:
        self._vault = vault

    async def __call__(self, settings: PkiTrust | KvTrust) -> tuple[list[str], list[str]]:
        """Return chains of certificates and CRLs, PEM. Raises ``Fault``."""
        if isinstance(settings, KvTrust):
            return await self._from_kv(settings)
        chains: list[str] = []
        crls: list[str] = []
        for mount in settings.mounts:
            for issuer in await read_ca_issuers(self._vault, mount, crl=settings.crl):
                chains.append("\n".join(issuer.chain_pems))
                crls += issuer.crl_pems
        return chains, crls

    async def _from_kv(self, settings: KvTrust) -> tuple[list[str], list[str]]:
        secret = await self._vault.read_kv(settings.mount, settings.path)
        fields = [settings.field, *([settings.crl_field] if settings.crl_field else [])]
        texts = [secret.data.get(field) for field in fields]
        for field, text in zip(fields, texts, strict=True):
            if not isinstance(text, str):
                raise BundleFault(f"{settings.mount}/{settings.path} has no text {field!r}")
        certificates, *crls = (str(text) for text in texts)
        return [certificates], [crl for text in crls for crl in split_crls(text)]
