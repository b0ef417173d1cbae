"""The names of the signature algorithms that can be configured (``sidecar.tokens.algorithms``)."""

from typing import Literal

AlgorithmName = Literal[
    "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
]  # fmt: skip
"""The algorithms that can be allowed: signatures of public keys only, never HMAC or ``none``."""
