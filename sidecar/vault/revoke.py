"""Revoking a certificate of Vault PKI."""

from typing import Any

from sidecar.vault.client import VaultClient


async def revoke_certificate(vault: VaultClient, mount: str, serial: str) -> None:
    """Revoke by serial (hexadecimal). Needs ``update`` on ``<mount>/revoke``.

    Raises ``VaultFault``.
    """
    digits = serial.zfill(len(serial) + len(serial) % 2)
    pairs = ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))

    def revoke(client: Any) -> None:
        client.secrets.pki.revoke_certificate(pairs, mount_point=mount)

    await vault.perform("pki_revoke", f"{mount}/revoke", revoke)
