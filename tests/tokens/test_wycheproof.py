"""Wycheproof's signatures: what other verifiers took, and ours must not.

An excerpt of https://github.com/C2SP/wycheproof (Apache License 2.0), as JSON beside this file.
"""

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature

from sidecar.common.errors import Denied
from sidecar.tokens.algorithms import ALGORITHMS
from sidecar.tokens.jwk import read_jwk

GROUPS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("wycheproof.json").read_text())[
    "groups"
]
VECTORS = [
    pytest.param(
        group["algorithm"], group["jwk"], result, message, signature,
        id=f"{group['algorithm']} {number}",
    )
    for group in GROUPS
    for number, result, _, message, signature in group["tests"]
]  # fmt: skip


def verifies(name: str, jwk: dict[str, Any], signed: bytes, signature: bytes) -> bool:
    algorithm = ALGORITHMS[name]
    key = read_jwk(jwk, None, [algorithm])
    try:
        algorithm.verify(key.public, signature, signed)
    except (InvalidSignature, Denied):
        return False
    return True


@pytest.mark.parametrize(("name", "jwk", "result", "message", "signature"), VECTORS)
def test_vector(name: str, jwk: dict[str, Any], result: str, message: str, signature: str) -> None:
    """``acceptable`` is a PKCS #1 v1.5 digest without its NULL parameter: we do not take it."""
    read = verifies(name, jwk, base64.b64decode(message), base64.b64decode(signature))
    assert read is (result == "valid")


def test_there_are_vectors_of_each_kind_of_algorithm() -> None:
    counted = Counter((group["algorithm"], test[1]) for group in GROUPS for test in group["tests"])
    for name in ("ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512", "PS256"):
        assert counted[name, "valid"] >= 3
        assert counted[name, "invalid"] >= 3
