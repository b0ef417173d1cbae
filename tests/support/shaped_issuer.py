"""An issuer that publishes its key, and signs tokens of one of ``issuer_shapes``."""

import json
from dataclasses import replace
from typing import Any

import jwt

from tests.support.algorithms import private_key, sign_parts
from tests.support.issuer_shapes import SHAPES, Shape
from tests.support.minting import NOW

_TIMES = ("iat", "exp", "nbf", "auth_time")


def shape_named(beginning: str) -> Shape:
    """Return the one shape whose name begins so."""
    (found,) = (each for each in SHAPES if each.name.startswith(beginning))
    return found


class ShapedIssuer:
    """The key of an issuer of a shape; with ``issuer`` it has another name."""

    def __init__(self, shape: Shape, issuer: str | None = None) -> None:
        self.shape = shape if issuer is None else replace(shape, issuer=issuer)

    def jwk(self, kid: str = "key-1") -> dict[str, Any]:
        """Return the public key as an issuer publishes it."""
        algorithm = jwt.get_algorithm_by_name(self.shape.algorithm)
        members = json.loads(algorithm.to_jwk(private_key(self.shape.algorithm).public_key()))
        members.pop("key_ops", None)
        return {**members, "kid": kid, "use": "sig", "alg": self.shape.algorithm}

    def token(self, now: float = NOW, **changes: Any) -> str:
        """Sign a token that was issued at ``now``; ``None`` takes a claim away."""
        later = int(now) - int(NOW)
        claims = {
            name: value + later if name in _TIMES else value
            for name, value in self.shape.payload.items()
        }
        changed = {k: v for k, v in {**claims, **changes}.items() if v is not None}
        return sign_parts(self.shape.algorithm, self.shape.head, changed).decode()
