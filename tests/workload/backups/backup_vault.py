"""A transit key for backups in the shared OpenBao, and tokens for each job with it."""

from pathlib import Path
from uuid import uuid4

from demo.openbao import OpenBao
from tests.support.real import NAMESPACE
from workload.backups.archive import new_label
from workload.backups.keys import RotatedKeys
from workload.backups.policies import policy_of_job
from workload.backups.vault_keys import TransitWrapping
from workload.clock import monotonic_seconds
from workload.settings import TokenFileLogin, VaultServer
from workload.vault.client import VaultApi
from workload.vault.transit import Transit

MOUNT = "backup-transit"


class BackupVault:
    """One transit key; tokens by the policies that ``septem backup policy`` prints."""

    def __init__(self, server: OpenBao, folder: Path, *, derived: bool = False) -> None:
        self.server = server
        self.folder = folder
        self.key = f"backups-{uuid4().hex[:8]}"
        server.enable_transit(MOUNT)
        self.write("", {"type": "aes256-gcm96", "derived": derived})

    def write(self, below: str, data: dict[str, object]) -> None:
        self.server.client.write_data(f"{MOUNT}/keys/{self.key}{below}", data=data)

    def rotate(self) -> None:
        self.write("/rotate", {})

    def token_file(self, *jobs: str) -> Path:
        label = new_label("policy", 0, mount=MOUNT, key=self.key)
        policy = "".join(policy_of_job(job, label) for job in jobs)
        path = self.folder / f"token-{uuid4()}"
        path.write_text(self.server.token_for(policy, name="-".join((self.key, *jobs))))
        return path

    def keys(self, *jobs: str) -> RotatedKeys:
        return RotatedKeys(self.wrapping(*jobs), MOUNT, self.key)

    def wrapping(self, *jobs: str) -> TransitWrapping:
        login = TokenFileLogin(str(self.token_file(*jobs)))
        vault = VaultServer(self.server.address, login, namespace=NAMESPACE)
        transit = Transit(VaultApi(vault, monotonic_seconds), MOUNT)
        return TransitWrapping(transit, self.key)

    def arguments(self, *jobs: str) -> list[str]:
        """What ``septem backup`` is told of Vault and the key."""
        namespace = [] if NAMESPACE is None else ["--vault-namespace", NAMESPACE]
        return [
            *("--vault", self.server.address, "--vault-token-file", str(self.token_file(*jobs))),
            *("--mount", MOUNT, "--key", self.key, *namespace),
        ]
