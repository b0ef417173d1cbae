"""The key of the ACME account: in Vault KV and in memory, shared by the fleet.

The first sidecar that needs it makes it (EC P-256) and writes it with check-and-set: if several
make one at once, one is stored and the others use that.
"""

from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sidecar.certificates.issuers.acme.client import AccountKeyMaterial
from sidecar.certificates.issuers.lease import FleetKv
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.vault.errors import VaultConflict

KEY_FIELD = "private_key"
KID_FIELD, MAC_FIELD = "kid", "hmac_key"


class AccountFault(Fault):
    """The account's entry in Vault can't be used."""


async def load_account(settings: model.AcmeIssuerSettings, vault: FleetKv) -> AccountKeyMaterial:
    """Return the account's key, made if there is none, and the external account's key.

    Raises ``VaultFault`` or ``AccountFault``.
    """
    account = settings.account
    external = await _read_external(settings, vault)
    entry, version = await vault.read_kv_latest(account.mount, account.path)
    if entry is None:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
        try:
            await vault.write_kv(account.mount, account.path, {KEY_FIELD: pem}, version)
        except VaultConflict:
            entry = await vault.read_kv(account.mount, account.path)
        else:
            return AccountKeyMaterial(key, external)
    return AccountKeyMaterial(_read_key(entry, f"{account.mount}/{account.path}"), external)


def _read_key(entry: Any, where: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(str(entry.data.get(KEY_FIELD)).encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise AccountFault(f"Vault entry {where} has no PEM in its field {KEY_FIELD}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise AccountFault(f"Vault entry {where}: the account's key is not EC on P-256")
    return key


async def _read_external(
    settings: model.AcmeIssuerSettings, vault: FleetKv
) -> tuple[str, str] | None:
    place = settings.external_account
    if place is None:
        return None
    entry = await vault.read_kv(place.mount, place.path)
    kid, mac = entry.data.get(KID_FIELD), entry.data.get(MAC_FIELD)
    if not (isinstance(kid, str) and isinstance(mac, str) and kid and mac):
        where = f"{place.mount}/{place.path}"
        raise AccountFault(f"Vault entry {where} needs the fields {KID_FIELD} and {MAC_FIELD}")
    return kid, mac
