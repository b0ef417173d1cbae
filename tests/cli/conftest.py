"""Fixtures of the commands' tests."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm

from tests.cli.commands import Run
from tests.support.minting import Issuer

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def signals_stay() -> Iterator[None]:
    """``serve`` blocks the signals of its process: here the tests' own, and their children's."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.fixture
def files(tmp_path: Path, issuer: Issuer) -> Path:
    write_files(tmp_path, issuer)
    return tmp_path


def write_files(folder: Path, issuer: Issuer) -> None:
    """Write an issuer's keys, and a configuration."""
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    (folder / "key.pem").write_bytes(issuer.private.private_bytes(*form))
    jwk = {**ECAlgorithm.to_jwk(issuer.private.public_key(), as_dict=True), "kid": issuer.kid}
    (folder / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    (folder / "config.yaml").write_text((ROOT / "config.example.yaml").read_text())


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(capsys, monkeypatch)
