"""A restore is rehearsed: one Vault is lost, another takes its place, and the edge goes on.

A real OpenBao with what a sidecar keeps there is sealed into an archive, and ended. A fresh one,
which had only the key of backups, gets the entries back, and the sidecar starts with it: with
the same ACME account, certificates, publishers, revocations and pseudonyms.
"""

import hashlib
import json
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from demo.cases import API, INSTALL, ISSUER, Minter, bearer
from demo.openbao import OpenBao
from demo.process import fetch_text
from demo.stack import Stack
from sidecar.cli.main import main
from sidecar.common.clock import wall_seconds
from sidecar.config import parse_config
from sidecar.doctor.needs import needs_of
from sidecar.doctor.policy import policy_hcl, policy_of
from sidecar.doctor.vault_paths import VaultNeed
from sidecar.module_signing.signature import sign_digest
from sidecar.vault_backup.places import backup_needs, restore_needs
from tests.support.pebble import Pebble, running_pebble
from tests.support.waiting import wait_until
from workload.backups.archive import new_label
from workload.backups.policies import policy_of_job

pytestmark = pytest.mark.real
NAME = "customer.example"
BUNDLE = b"export default 1;"
KEYS = {"poll_seconds": 0.2, "revocations": {"poll_seconds": 0.2}}
KEPT = ("septem/acme/public", "modules/publishers", "iam/revocations", "audit/subjects")


class KeptStack(Stack):
    """A sidecar that keeps in Vault all that it can keep there."""

    pebble: Pebble

    def _sidecar_config(self) -> Mapping[str, Any]:
        config = dict(super()._sidecar_config())
        running = running_pebble(self.folder / "pebble", self.ports.http)
        self.pebble = self._exits.enter_context(running)
        public = {
            "name": "public", "type": "acme", "directory": self.pebble.directory,
            "ca_file": self.pebble.ca_file, "agree_to_terms": True,
            "account": {"path": "septem/acme/public"}, "edge_seconds": 1,
        }  # fmt: skip
        internal = {"name": "internal", "type": "vault_pki", "role": "edge", "share": True}
        customer = {"name": NAME, "issuer": "public", "common_name": NAME}
        config["issuers"] = [internal, public]
        config["certificates"] = [*config["certificates"], customer]
        config["certificate_store"] = {}
        config["audit"] = {**config["audit"], "pseudonyms": {"path": "audit/subjects"}}
        return self.allow(config)

    def allow(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give the sidecar the policy that its settings need, at the OpenBao of the moment."""
        (self.folder / "vault-token").write_text(self.openbao.token_for(_policy(config, needs_of)))
        return config

    def settings(self) -> dict[str, Any]:
        config: dict[str, Any] = yaml.safe_load(self._config.read_text())
        return config

    def move_to(self, other: OpenBao) -> Path:
        """Name another OpenBao in the sidecar's settings; return their file."""
        self.openbao = other
        config = self.settings()
        config["vault"]["address"] = other.address
        self._config.write_text(yaml.safe_dump(dict(self.allow(config)), sort_keys=False))
        return self._config

    def counted(self, family: str, **labels: str) -> float:
        wanted = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
        text = fetch_text(self.admin_port, "/metrics")
        found = re.search(rf"^{re.escape(f'{family}{{{wanted}}}')} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def stored(self, path: str) -> Any:
        return self.openbao.client.secrets.kv.v2.read_secret_version(
            path, raise_on_deleted_version=True
        )["data"]["data"]

    def edge_serial(self) -> int:
        pem = ssl.get_server_certificate(("127.0.0.1", self.ports.https), timeout=10)
        return x509.load_pem_x509_certificate(pem.encode()).serial_number

    def customers_serial(self) -> str:
        listed = json.loads(fetch_text(self.admin_port, "/certificates"))
        (found,) = [each for each in listed["certificates"] if each["name"] == NAME]
        return str(found["serial"])

    def status_for(self, subject: str) -> int:
        token = Minter(self.key, wall_seconds()).good(sub=subject, jti=subject)
        return self.client.get(f"{API}/{subject}", [bearer(token)]).status

    def install_status(self) -> int:
        token = Minter(self.key, wall_seconds()).good(jti="install")
        signature = sign_digest(hashlib.sha256(BUNDLE).digest(), self.publisher)
        headers = [bearer(token), ("x-module-signature", signature)]
        return self.client.post(INSTALL, BUNDLE, headers).status

    def pseudonyms(self) -> list[str]:
        """Return who alice is in the audit log, without repetitions."""
        lines = [e for e in self.audited() if e.get("path") == f"{API}/alice"]
        return list(dict.fromkeys(line["subject"] for line in lines))


def _policy(config: Mapping[str, Any], needs: Any) -> str:
    found: tuple[VaultNeed, ...] = needs(parse_config(yaml.safe_dump(dict(config)), "test"))
    return policy_hcl(policy_of(found), None)


def _token_file(folder: Path, server: OpenBao, policy: str, name: str) -> Path:
    path = folder / name
    path.write_text(server.token_for(policy, name=name))
    return path


def test_another_vault_takes_the_place_of_one_that_is_lost(tmp_path: Path) -> None:
    archive, fresh = tmp_path / "archive", OpenBao()
    with KeptStack(keys=KEYS) as stack:
        try:
            _rehearse(stack, fresh, archive, tmp_path)
        finally:
            fresh.stop()


def _rehearse(stack: KeptStack, fresh: OpenBao, archive: Path, folder: Path) -> None:
    fresh.client.sys.enable_secrets_engine("transit")
    fresh.client.write_data("transit/keys/backups", data={"type": "aes256-gcm96"})
    revoked = {"iss": ISSUER, "jti": "mallory", "exp": int(wall_seconds()) + 900}
    stack.openbao.put_revocations({"tokens": [revoked]})
    before = _state(stack)
    kept = {path: stack.stored(path) for path in KEPT}
    label = new_label("policy", 0)

    def sealed(command: str, job: str, needs: Any, *more: object) -> int:
        token = _token_file(
            folder, stack.openbao, _policy(stack.settings(), needs), f"entries-{job}"
        )
        seal = _token_file(folder, fresh, policy_of_job(job, label), f"seal-{job}")
        given = [
            *("--config", stack._config, "--token-file", token),
            *("--seal-vault", fresh.address, "--seal-token-file", seal),
        ]
        return main(["vault", command, *map(str, (*more, *given))])

    assert sealed("backup", "seal", backup_needs, "--output", archive) == 0
    assert b"PRIVATE KEY" not in archive.read_bytes()
    stack.sidecar.stop()
    stack.openbao.stop()
    stack.move_to(fresh)
    assert sealed("restore", "open", restore_needs, archive) == 0
    assert {path: stack.stored(path) for path in KEPT} == kept
    stack.start_sidecar()
    assert _state(stack) == before
    assert stack.pebble.orders == 1, "nothing was ordered again"
    assert stack.counted("septem_acme_orders_total", issuer="public", outcome="ok") == 0
    # The next order is the same account's.
    assert main(["certs", "renew", NAME, "--admin", f"127.0.0.1:{stack.admin_port}"]) == 0
    wait_until(lambda: stack.pebble.orders == 2, explain=stack.sidecar.tail)
    accounts = [line for line in stack.pebble.process.lines if "accounts in memory" in line]
    assert len(accounts) == 1
    assert "There are now 1 accounts" in accounts[0]


def _state(stack: KeptStack) -> tuple[object, ...]:
    """Return what clients, a CA and an auditor see of what is kept in Vault."""
    wait_until(lambda: stack.status_for("mallory") == 401, explain=stack.sidecar.tail)
    wait_until(stack.customers_serial, explain=stack.sidecar.tail)
    wait_until(lambda: stack.install_status() == 200, explain=stack.sidecar.tail)
    assert stack.status_for("alice") == 200
    wait_until(stack.pseudonyms)
    return stack.edge_serial(), stack.customers_serial(), stack.pseudonyms()
