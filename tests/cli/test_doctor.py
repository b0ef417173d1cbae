"""``sidecar doctor``: a table for people, a document for programs, exit codes; docs/doctor.md."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from demo.openbao import OpenBao
from sidecar.cli.main import main
from sidecar.config.load import load_config
from sidecar.doctor.needs import doctor_needs, needs_of
from sidecar.doctor.policy import policy_hcl, policy_of
from tests.support.minting import Issuer
from tests.support.real import NAMESPACE, TokenFile

FORM = """\
listen:
  authz: {{address: "127.0.0.1:0"}}
  admin: {{address: "unix:{folder}/admin"}}
vault: {{address: "{vault}", auth: {{method: token_file, path: {folder}/vault-token}}{namespace}}}
tokens: {{issuers: [{{issuer: "https://i.example", audiences: [a]}}]}}
routes: [{{name: all, path_prefix: /}}]
"""


@pytest.mark.real
def test_an_installation_that_is_well(
    openbao: OpenBao,
    issuer: Issuer,
    token_file: TokenFile,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    namespace = f", namespace: {NAMESPACE}" if NAMESPACE else ""
    path = tmp_path / "sidecar.yaml"
    path.write_text(FORM.format(folder=tmp_path, vault=openbao.address, namespace=namespace))
    config = load_config(path)
    form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    openbao.put_key(issuer.private.public_key().public_bytes(*form).decode())
    lines = policy_of((*needs_of(config), *doctor_needs(config)))
    token_file.write(openbao.token_for(policy_hcl(lines, None), name="doctor"))
    assert main(["doctor", "--config", str(path)]) == 0
    *rows, last = capsys.readouterr().out.splitlines()
    assert rows[0].startswith("ok       vault: ")
    assert last == f"{len(rows)} checks: 0 failed, 1 skipped"


def test_what_failed_is_said_with_the_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text(FORM.format(folder=tmp_path, vault="http://127.0.0.1:1", namespace=""))
    arguments = ["doctor", "--config", str(path), "--envoy-admin", "127.0.0.1:1"]
    assert main(arguments) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("failed   vault: ")
    assert lines[1].startswith("         -> Bring Vault back")
    assert main([*arguments, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["failed"] == 3
    assert document["checks"][0]["outcome"] == "failed"
    assert document["checks"][0]["next_step"]


@pytest.mark.parametrize("address", ["localhost", "é:1", "unix:/run/envoy", "a:b", "[::1]"])
def test_an_address_of_envoy_that_is_none(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text(FORM.format(folder=tmp_path, vault="http://127.0.0.1:1", namespace=""))
    assert main(["doctor", "--config", str(path), "--envoy-admin", address]) == 1
    assert "--envoy-admin" in capsys.readouterr().err


def test_a_configuration_with_a_fault_is_another_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("vault: 1\n")
    assert main(["doctor", "--config", str(path)]) == 2
