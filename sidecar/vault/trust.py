"""The issuers of a Vault PKI mount: the certificates of its CAs, and their CRLs."""

from typing import Any, NamedTuple

from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultNotFound, VaultRejected

MAX_ISSUERS = 32


class CaIssuer(NamedTuple):
    """One issuer of a mount: its chain, itself first, and its CRL, all PEM."""

    chain_pems: tuple[str, ...]
    crl_pem: str | None


async def read_ca_issuers(vault: VaultClient, mount: str, *, crl: bool) -> tuple[CaIssuer, ...]:
    """Read every issuer of a mount; while a CA is replaced, the old and the new one.

    Needs ``list`` on ``<mount>/issuers``; the rest is public in Vault. Raises ``VaultFault``.
    """

    def read(client: Any) -> tuple[CaIssuer, ...]:
        listed = client.list(f"{mount}/issuers")
        references = listed["data"]["keys"] if listed else []
        if len(references) > MAX_ISSUERS:
            raise VaultRejected(f"{mount} has {len(references)} issuers, more than {MAX_ISSUERS}")
        return tuple(_read_one(client, mount, reference, crl=crl) for reference in references)

    return await vault.perform("pki_issuers", f"{mount}/issuers", read)


def _read_one(client: Any, mount: str, reference: str, *, crl: bool) -> CaIssuer:
    where = f"{mount}/issuer/{reference}"
    found = client.read(f"{where}/json")
    revoked = client.read(f"{where}/crl") if crl else None
    if found is None or (crl and revoked is None):
        raise VaultNotFound(f"{where}: the issuer or its CRL was removed during the read")
    data = found["data"]
    return CaIssuer(
        tuple(data.get("ca_chain") or [data["certificate"]]),
        revoked["data"]["crl"] if revoked is not None else None,
    )
