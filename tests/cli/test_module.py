"""``sidecar module``: what it signs, the edge accepts; what it refuses, the edge refuses."""

import hashlib
import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from sidecar.cli.main import main
from sidecar.module_signing.publishers import PublisherKey, Publishers
from sidecar.module_signing.signature import find_publisher
from tests.module_signing.test_publisher_entry import pem

KEY, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
MODULES = """\
vault: {address: "https://vault.internal", auth: {method: token_file, path: /t}}
tokens: {issuers: [{issuer: "https://iam", audiences: [a]}]}
routes: [{name: install, path: /install, methods: [POST], module: signed}]
modules: {max_bundle_bytes: 4096}
"""
PASSPHRASE = "correct horse battery staple"
BUNDLE = b"export default 1;"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "developer.pem").write_bytes(
        KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    (tmp_path / "encrypted.pem").write_bytes(
        KEY.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE.encode())
        )
    )
    (tmp_path / "public.pem").write_text(pem(KEY))
    (tmp_path / "other.pem").write_text(pem(OTHER))
    path = tmp_path / "remoteEntry.js"
    path.write_bytes(BUNDLE)
    return path


def sign(bundle: Path, *more: str, key: str = "developer.pem") -> int:
    return main(["module", "sign", "--key", str(bundle.parent / key), *more, str(bundle)])


def verify(bundle: Path, *more: str, key: str = "public.pem") -> int:
    return main(["module", "verify", "--key", str(bundle.parent / key), *more, str(bundle)])


def holds(signature: str) -> bool:
    publishers = Publishers([PublisherKey("acme", KEY.public_key())])
    return find_publisher(signature.encode(), hashlib.sha256(BUNDLE).digest(), publishers) == "acme"


def test_what_is_signed_verifies(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sign(bundle) == 0
    assert holds((bundle.parent / "remoteEntry.js.sig").read_text().strip())
    assert verify(bundle) == 0
    said = capsys.readouterr()
    assert said.out.count(f"sha256:{hashlib.sha256(BUNDLE).hexdigest()}") == 2
    assert "PRIVATE" not in said.out + said.err


def test_as_a_header_for_curl(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sign(bundle, "--header") == 0
    name, _, value = capsys.readouterr().out.strip().partition(": ")
    assert name == "x-module-signature"
    assert holds(value)
    assert not (bundle.parent / "remoteEntry.js.sig").exists()


def test_to_and_from_another_file(bundle: Path, tmp_path: Path) -> None:
    other = str(tmp_path / "s")
    assert sign(bundle, "--output", other) == 0
    assert verify(bundle, "--signature", other) == 0


def test_refusals_have_the_edges_words(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sign(bundle)
    assert verify(bundle, key="other.pem") == 1
    assert "module_key_unknown" in capsys.readouterr().err
    bundle.write_bytes(BUNDLE + b" ")
    assert verify(bundle) == 1
    assert "module_signature_invalid" in capsys.readouterr().err


def test_the_rest_of_the_edges_rules(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its size, what is withdrawn, and a key that two have registered."""
    sign(bundle)
    public = (bundle.parent / "public.pem").read_text()
    digest = hashlib.sha256(BUNDLE).hexdigest()
    entry, config = tmp_path / "publishers.json", tmp_path / "config.yaml"
    config.write_text(MODULES)
    command = ["module", "verify", "--publishers", str(entry), "--config", str(config)]
    for data, limit, code, said in (
        ({"acme": public}, 4096, 0, f"good; sha256:{digest} acme"),
        ({"acme": public, "withdrawn_bundles": [digest]}, 4096, 1, "module_withdrawn"),
        ({"acme": public, "bob": public}, 4096, 1, "module_key_unknown"),
        ({"acme": public}, 1024, 1, "module_too_large"),
        ({}, 4096, 1, "module_key_unknown"),
        ({"withdrawn_bundles": 5}, 4096, 1, "must list at most"),
    ):
        entry.write_text(json.dumps({"data": {"data": data}}))
        config.write_text(MODULES.replace("4096", str(limit)))
        bundle.write_bytes(BUNDLE + b" " * (1100 if limit == 1024 else 0))
        assert main([*command, str(bundle)]) == code
        captured = capsys.readouterr()
        assert said in captured.out + captured.err
    bundle.write_bytes(b"")
    assert main([*command, str(bundle)]) == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("developer.pem", b"rubbish", "has no PEM private key"),
        ("developer.pem", None, "cannot be read"),
        ("remoteEntry.js", b"", "is empty"),
        ("remoteEntry.js", None, "cannot be read"),
    ],
)
def test_what_cannot_be_signed(
    bundle: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes | None,
    said: str,
) -> None:
    path = bundle.parent / name
    path.unlink() if content is None else path.write_bytes(content)
    assert sign(bundle) == 1
    assert said in capsys.readouterr().err


def typed(bundle: Path, passphrase: str) -> tuple[int, str]:
    """Run the command on a terminal of its own and type a passphrase; returns what was shown."""
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "sidecar", "module", "sign", "--key"]
    process = subprocess.Popen(
        [*command, str(bundle.parent / "encrypted.pem"), str(bundle)],
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
    )
    os.close(child)
    shown, deadline = b"", time.monotonic() + 30
    asked = False
    while time.monotonic() < deadline:
        try:
            chunk = os.read(parent, 4096)
        except OSError:  # the child has ended
            break
        shown += chunk
        if b"Passphrase of" in shown and not asked:
            asked = True
            os.write(parent, passphrase.encode() + b"\n")
    os.close(parent)
    return process.wait(10), shown.decode()


def test_an_encrypted_keys_passphrase_is_asked_for_and_not_shown(bundle: Path) -> None:
    code, shown = typed(bundle, PASSPHRASE)
    assert code == 0, shown
    assert PASSPHRASE not in shown
    assert holds((bundle.parent / "remoteEntry.js.sig").read_text().strip())


def test_a_wrong_passphrase(bundle: Path) -> None:
    code, shown = typed(bundle, "wrong")
    assert code == 1
    assert "passphrase is wrong" in shown
    assert "Traceback" not in shown
