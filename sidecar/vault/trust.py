"""The issuers of a Vault PKI mount: the certificates of its CAs, their CRLs and delta CRLs.

``<mount>/crl`` is the default issuer's alone, so each issuer is asked for its own. A delta CRL
lists what was revoked since: with ``auto_rebuild`` Vault makes the CRL itself anew only shortly
before its end.
"""

from typing import Any, NamedTuple

from sidecar.config.secrets import CrlReading
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultNotFound, VaultRejected

MAX_ISSUERS = 32


class CaIssuer(NamedTuple):
    """One issuer of a mount: its chain, itself first, and its CRL and delta CRL, all PEM."""

    chain_pems: tuple[str, ...]
    crl_pems: tuple[str, ...]


async def read_ca_issuers(
    vault: VaultClient, mount: str, *, crl: CrlReading
) -> tuple[CaIssuer, ...]:
    """Read every issuer of a mount; while a CA is replaced, the old and the new one.

    Needs ``list`` on ``<mount>/issuers``; the rest is public in Vault. Raises ``VaultFault``,
    with ``crl=True`` also for an issuer that has no CRL.
    """

    def read(client: Any) -> tuple[CaIssuer, ...]:
        found = []
        for place in _places(client, mount):
            if crl is True and not place.has_key:
                raise VaultNotFound(
                    f"{place.path}: Vault has no CRL of this issuer, whose key is not in the mount;"
                    " remove the issuer, or set crl: where_there to believe it without one"
                )
            crls = _crls(client, place.path) if crl and place.has_key else ()
            found.append(CaIssuer(_chain(client, place.path), crls))
        return tuple(found)

    return await vault.perform("pki_issuers", f"{mount}/issuers", read)


async def read_mount_crls(vault: VaultClient, mount: str) -> tuple[str, ...]:
    """Return the CRLs and delta CRLs of every issuer of a mount that makes any, PEM.

    Anyone may read them in Vault. Raises ``VaultFault``.
    """

    def read(client: Any) -> tuple[str, ...]:
        places = [each.path for each in _places(client, mount) if each.has_key]
        if not places:
            raise VaultNotFound(f"{mount} has no issuer with a key, so there is no CRL")
        return tuple(pem for path in places for pem in _crls(client, path))

    return await vault.perform("pki_crl", f"{mount}/issuers", read)


class _Place(NamedTuple):
    """Where an issuer is, and whether its key is in the mount: else Vault makes no CRL for it."""

    path: str
    has_key: bool


def _places(client: Any, mount: str) -> list[_Place]:
    listed = client.list(f"{mount}/issuers")
    data = listed["data"] if listed else {"keys": []}
    references, keys = data["keys"], data.get("key_info") or {}
    if len(references) > MAX_ISSUERS:
        raise VaultRejected(f"{mount} has {len(references)} issuers, more than {MAX_ISSUERS}")
    return [
        _Place(f"{mount}/issuer/{each}", keys.get(each, {}).get("key_id") != "")
        for each in references
    ]


def _chain(client: Any, where: str) -> tuple[str, ...]:
    found = client.read(f"{where}/json")
    if found is None:
        raise VaultNotFound(f"{where}: the issuer was removed during the read")
    return tuple(found["data"].get("ca_chain") or [found["data"]["certificate"]])


def _crls(client: Any, where: str) -> tuple[str, ...]:
    """Return an issuer's CRL and, if this Vault knows any, its delta CRL."""
    complete, delta = client.read(f"{where}/crl"), client.read(f"{where}/crl/delta")
    if complete is None:
        raise VaultNotFound(f"{where}: the issuer was removed during the read")
    return tuple(str(each["data"]["crl"]) for each in (complete, delta) if each is not None)
