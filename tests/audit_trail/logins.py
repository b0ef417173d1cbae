"""Logins to a real OpenBao, each with one policy of the documents."""

import re
from pathlib import Path

from demo.openbao import OpenBao
from sidecar.audit_trail.key_store import KeyPlace, KeyStore
from sidecar.common.clock import monotonic_seconds
from sidecar.vault.client import VaultClient
from tests.audit_trail.policies import policy
from tests.support.real import TokenFile


class Login:
    """Clients of the real server, each with one policy of the documents."""

    def __init__(self, openbao: OpenBao, folder: Path, place: KeyPlace) -> None:
        self._openbao = openbao
        self.folder = folder
        self.place = place
        self._clients: list[VaultClient] = []

    def store(self, name: str, days: int = 30) -> KeyStore:
        return KeyStore(self.client(name), self.place, address_days=days)

    def client(self, name: str) -> VaultClient:
        allowed = policy(name).replace("audit/pseudonyms", self.place.path)
        file = TokenFile(self.folder / f"token-{len(self._clients)}")
        policy_name = re.sub(r"[^a-z0-9]+", "-", f"{self.place.path}-{name.lower()}")
        file.write(self._openbao.token_for(allowed, name=policy_name))
        client = VaultClient(file.settings(self._openbao.address), clock=monotonic_seconds)
        self._clients.append(client)
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
