"""``sidecar serve``: what keeps it from starting, and the sockets that it opens."""

import stat
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.openbao import SIDECAR_POLICY, OpenBao
from demo.process import ManagedProcess
from tests.authz.checks import check_request
from tests.support.minting import AUDIENCE, ISSUER, Issuer
from tests.support.real import TokenFile


def serve(config: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sidecar", "serve", "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def serving_config(tmp_path: Path, address: str, token_path: Path) -> Path:
    path = tmp_path / "serve.yaml"
    path.write_text(
        f"""\
listen:
  authz: {{address: "127.0.0.1:0"}}
  admin: {{address: "127.0.0.1:0"}}
vault: {{address: "{address}", auth: {{method: token_file, path: {token_path}}}}}
tokens: {{issuers: [{{issuer: "{ISSUER}", audiences: ["{AUDIENCE}"]}}]}}
routes: [{{name: all, path_prefix: /}}]
"""
    )
    return path


@pytest.mark.real
def test_without_vault_there_is_no_start(tmp_path: Path, token_file: TokenFile) -> None:
    token_file.write("hvs.whatever-it-is-it-is-not-shown")
    done = serve(serving_config(tmp_path, "http://127.0.0.1:1", token_file.path))
    assert done.returncode == 1
    assert "Vault at http://127.0.0.1:1" in done.stderr
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
    assert "whatever" not in done.stderr


@pytest.mark.real
@pytest.mark.parametrize("entry", [None, "not a key"], ids=["no key", "no key in it"])
def test_without_a_key_there_is_no_start(
    tmp_path: Path, token_file: TokenFile, own_openbao: OpenBao, entry: str | None
) -> None:
    if entry is not None:
        own_openbao.put_key(entry)
    token_file.write(own_openbao.token_for(SIDECAR_POLICY))
    done = serve(serving_config(tmp_path, own_openbao.address, token_file.path))
    assert done.returncode == 1
    assert "iam/jwt-signing-key" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_configuration_does_not_start(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("routes: []\n")
    done = serve(path)
    assert done.returncode == 2
    assert "vault: is missing" in done.stderr


@pytest.mark.real
def test_unix_sockets_are_for_the_owner_and_the_group(
    tmp_path: Path, token_file: TokenFile, openbao: OpenBao, issuer: Issuer
) -> None:
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    openbao.put_key(issuer.private.private_bytes(*form).decode())
    token_file.write(openbao.token_for(SIDECAR_POLICY))
    config = serving_config(tmp_path, openbao.address, token_file.path)
    text = config.read_text()
    for name in ("authz", "admin"):
        text = text.replace(
            f'{name}: {{address: "127.0.0.1:0"}}', f'{name}: {{address: "unix:{tmp_path}/{name}"}}'
        )
    config.write_text(text)
    command = [sys.executable, "-m", "sidecar", "serve", "--config", str(config)]
    with ManagedProcess("sidecar", command) as process:
        process.wait_until(lambda: any("serving" in line for line in process.lines), 20)
        for name in ("authz", "admin"):
            mode = (tmp_path / name).stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o660
        with grpc.insecure_channel(f"unix:{tmp_path}/authz") as channel:
            check = channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")
            assert b"token_missing" in check(check_request(path="/x"), timeout=5)
        assert process.stop() == 0
