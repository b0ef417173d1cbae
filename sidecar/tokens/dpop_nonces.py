"""The nonces of DPoP proofs: stateless, so that every process of a group knows each (RFC 9449 §8).

A nonce is the number of a period of time and an HMAC-SHA-256 of it under a secret of the process
group (RFC 2104). Those of the period now and of the one before are accepted, so a nonce holds for
one to two periods. With the period the MAC changes too, and nothing need be remembered.
"""

import hmac
from typing import Protocol

from sidecar.common.base64url import encode_base64url

SECRET_BYTES = 32
_MAC_BYTES = 16
_MAX_NONCE = 64


class NonceSource(Protocol):
    """Tells our nonces."""

    def is_ours(self, nonce: str, period_seconds: float, now: float) -> bool:
        """Return whether a nonce is ours and still holds at ``now`` (Unix seconds)."""


class Nonces:
    """Makes and tells nonces under one secret of ``SECRET_BYTES`` random bytes."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def current(self, period_seconds: float, now: float) -> str:
        """Return the nonce of the period that ``now`` lies in."""
        return self._nonce(int(now // period_seconds))

    def is_ours(self, nonce: str, period_seconds: float, now: float) -> bool:
        """Return whether a nonce is of the period now or of the one before."""
        if len(nonce) > _MAX_NONCE or not nonce.isascii():
            return False
        number = int(now // period_seconds)
        # Both are compared, so that the time does not tell which of them it is.
        matches = [hmac.compare_digest(nonce, self._nonce(each)) for each in (number, number - 1)]
        return any(matches)

    def _nonce(self, number: int) -> str:
        raw = number.to_bytes(8, "big", signed=True)
        mac = hmac.digest(self._secret, b"dpop nonce" + raw, "sha256")[:_MAC_BYTES]
        return encode_base64url(raw[3:] + mac)
