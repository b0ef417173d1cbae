"""Entries of a test's own in the shared OpenBao, and clients with tokens of the least policies."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.config import Config, parse_config
from sidecar.doctor.policy import policy_hcl, policy_of
from sidecar.vault.client import VaultClient
from sidecar.vault_backup.places import KvPlace, backup_needs, places_of, restore_needs
from tests.support.real import NAMESPACE, TokenFile

SEAL_KEY = "backups"


class KvWorld:
    """One root path, with an account, a store, revocations and publishers below it."""

    def __init__(self, server: OpenBao, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.root = f"backup-{secrets.token_hex(4)}"
        self.kv: Any = server.client.secrets.kv.v2

    @property
    def settings(self) -> str:
        """A configuration's text."""
        root = self.root
        return (
            f"vault: {{address: '{self.server.address}', namespace: {NAMESPACE or 'null'},\n"
            "  auth: {method: token_file, path: /none}}\n"
            "listen: {sds: {address: 'unix:/run/sds'}}\n"
            "tokens: {issuers: [{issuer: 'https://i.example', audiences: [a],"
            f" keys: {{source: vault_kv, path: {root}/keys}}}}]}}\n"
            f"keys: {{revocations: {{path: {root}/revoked}}}}\n"
            f"modules: {{path: {root}/publishers}}\n"
            f"certificate_store: {{prefix: {root}/store}}\n"
            "issuers: [{name: pki, type: vault_pki, role: edge, share: true}]\n"
            "certificates: [{name: edge, issuer: pki, common_name: edge.example}]\n"
            "routes: [{name: all, path_prefix: /}]\n"
        )

    @property
    def config(self) -> Config:
        return parse_config(self.settings, "test")

    @property
    def places(self) -> tuple[KvPlace, ...]:
        return places_of(self.config)

    def put(self, path: str, **data: Any) -> int:
        answer = self.kv.create_or_update_secret(f"{self.root}/{path}", data)
        return int(answer["data"]["version"])

    def get(self, path: str) -> dict[str, Any]:
        answer = self.kv.read_secret_version(f"{self.root}/{path}", raise_on_deleted_version=True)
        data: dict[str, Any] = answer["data"]["data"]
        return data

    def metadata(self, path: str) -> dict[str, Any]:
        data: dict[str, Any] = self.kv.read_secret_metadata(f"{self.root}/{path}")["data"]
        return data

    def erase(self, path: str) -> None:
        """Remove an entry with all of its history."""
        self.kv.delete_metadata_and_all_versions(f"{self.root}/{path}")

    def token_file(self, job: str) -> TokenFile:
        needs = {"backup": backup_needs, "restore": restore_needs}[job](self.config)
        made = TokenFile(self.folder / f"token-{job}")
        policy = policy_hcl(policy_of(needs), None)
        made.write(self.server.token_for(policy, name=f"{self.root}-{job}"))
        return made

    @contextmanager
    def client(self, job: str) -> Iterator[VaultClient]:
        yield VaultClient(
            self.token_file(job).settings(self.server.address), clock=monotonic_seconds
        )


def enable_seal_key(server: OpenBao) -> None:
    """Have transit keep a key for archives."""
    server.enable_transit()
    server.client.write_data(f"transit/keys/{SEAL_KEY}", data={"type": "aes256-gcm96"})
