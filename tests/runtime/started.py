"""A whole sidecar in a process of its own: two workers, SDS with a certificate, Unix sockets."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.openbao import SIDECAR_POLICY, OpenBao
from tests.support.minting import AUDIENCE, ISSUER, Issuer
from tests.support.real import TokenFile

ROOT = Path(__file__).parents[2]
NAMES = ("authz-0", "authz-1", "sds", "admin")
"""Its sockets, in the folder."""
_CONFIG = """\
listen:
  authz: {{address: "unix:{folder}/authz", workers: 2}}
  sds: {{address: "unix:{folder}/sds"}}
  admin: {{address: "unix:{folder}/admin"}}
  drain_seconds: 0.2
  drain_notice_seconds: 0
vault: {{address: "{vault}", auth: {{method: token_file, path: {token}}}}}
tokens: {{issuers: [{{issuer: "{issuer}", audiences: ["{audience}"]}}]}}
issuers: [{{type: vault_pki, name: pki, mount: pki, role: edge, share: false}}]
certificates: [{{name: edge, issuer: pki, common_name: localhost}}]
routes: [{{name: all, path_prefix: /}}]
"""


def write_config(folder: Path, openbao: OpenBao, token_file: TokenFile, issuer: Issuer) -> Path:
    """Put a key and a token where it reads them; return the file with its settings."""
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    openbao.put_key(issuer.private.private_bytes(*form).decode())
    token_file.write(openbao.token_for(SIDECAR_POLICY))
    sockets = folder / "run"
    sockets.mkdir()
    path = folder / "whole.yaml"
    values = {"folder": sockets, "vault": openbao.address, "token": token_file.path}
    path.write_text(_CONFIG.format(**values, issuer=ISSUER, audience=AUDIENCE))
    return path


def command(path: Path, *more: str) -> Sequence[str]:
    """Return the command that serves."""
    return (sys.executable, "-m", "sidecar", "serve", "--config", str(path), *more)


def environment() -> Mapping[str, str]:
    """Return this process's environment, with the tree in the path of imports."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run_source(
    source: str, *arguments: object, before: Sequence[str] = ()
) -> "subprocess.CompletedProcess[str]":
    """Run a Python program to its end."""
    line = [*before, sys.executable, "-c", source, *map(str, arguments)]
    return subprocess.run(
        line, capture_output=True, text=True, timeout=600, check=False, env=environment()
    )


@pytest.fixture
def whole(tmp_path: Path, token_file: TokenFile, openbao: OpenBao, issuer: Issuer) -> Path:
    """The settings of a whole sidecar."""
    return write_config(tmp_path, openbao, token_file, issuer)


@pytest.fixture
def stopped_config(tmp_path: Path, token_file: TokenFile) -> Path:
    """The settings of a sidecar whose Vault is away."""
    token_file.write("hvs.token")
    path = tmp_path / "away.yaml"
    text = _CONFIG.split("issuers: [{{type", maxsplit=1)[0]
    text += "routes: [{{name: all, path_prefix: /}}]\n"
    values = {"folder": tmp_path, "vault": "http://127.0.0.1:1", "token": token_file.path}
    path.write_text(text.format(**values, issuer=ISSUER, audience=AUDIENCE))
    return path
