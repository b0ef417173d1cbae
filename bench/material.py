"""Keys, tokens and messages of one run, and files of them that servers and floods read.

Tokens are signed with ``cryptography`` itself: a hundred thousand are wanted, and PyJWT
would double their time. ``tests/bench`` holds one against PyJWT and the verifier.
"""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.names import AUDIENCE, ISSUER
from sidecar.pb import ext_authz_pb2 as pb
from sidecar.tokens.jwk import thumbprint

TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
LIFETIME_SECONDS = 900
PLAIN_HEADERS = 18
"""Beside ``:method`` and ``authorization``: 20 headers, about what a browser sends."""
_ALGORITHM = ec.ECDSA(hashes.SHA256())


class Material:
    """One signing key, and one that is not: what it signs is forged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.forger = ec.generate_private_key(ec.SECP256R1())
        self.kid = thumbprint(self.key.public_key())
        form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        (folder / "public.pem").write_bytes(self.key.public_key().public_bytes(*form))
        self._head = _b64(json.dumps({"alg": "ES256", "typ": "at+jwt", "kid": self.kid}).encode())

    def token(
        self,
        number: int,
        *,
        forged: bool = False,
        about_bytes: int = 0,
        now: float | None = None,
        tenant: str = TENANT,
    ) -> bytes:
        """Sign an access token for user ``number``, padded with permissions to a size.

        ``now`` is when it was issued; five seconds ago if nothing is said.
        """
        issued_at = int(time.time() - 5 if now is None else now)
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": [AUDIENCE],
            "sub": f"user-{number:06}",
            "tenantId": tenant,
            "jti": f"{number:08x}-0000-4000-8000-{issued_at:012x}",
            "iat": issued_at,
            "nbf": issued_at,
            "exp": issued_at + LIFETIME_SECONDS,
            "roles": ["admin", "editor"],
        }
        key = self.forger if forged else self.key
        token = self._sign(key, claims)
        if len(token) < about_bytes:
            # Four bytes of token hold three of JSON; each name takes its quotes, a comma, a space.
            missing = (about_bytes - len(token)) * 3 // 4 - len('"permissions": [], ')
            names = [f"orders-{index:04}:read" for index in range(max(0, missing // 20))]
            token = self._sign(key, {**claims, "permissions": names})
        return token

    def request(
        self,
        number: int,
        *,
        forged: bool = False,
        about_bytes: int = 0,
        now: float | None = None,
    ) -> bytes:
        """Build what Envoy sends for a browser's request with such a token."""
        token = self.token(number, forged=forged, about_bytes=about_bytes, now=now)
        return check_request(token)

    def requests(
        self, count: int, *, forged: bool = False, about_bytes: int = 0, first: int = 0
    ) -> list[bytes]:
        """Build so many, each with a token of its own, numbered from ``first``."""
        numbers = range(first, first + count)
        return [self.request(number, forged=forged, about_bytes=about_bytes) for number in numbers]

    def _sign(self, key: ec.EllipticCurvePrivateKey, claims: dict[str, Any]) -> bytes:
        signed = self._head + b"." + _b64(json.dumps(claims).encode())
        r, s = decode_dss_signature(key.sign(signed, _ALGORITHM))
        return signed + b"." + _b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def check_request(token: bytes | None) -> bytes:
    """Build the ``CheckRequest`` of a GET with 20 headers, 18 of them of no interest."""
    if token is None:
        return _encoded(None)
    stand_in = b"\0" * len(token)  # of the same length, so every length around it stays right
    return _encoded(len(token)).replace(stand_in, token, 1)


@lru_cache(maxsize=64)
def _encoded(token_bytes: int | None) -> bytes:
    message = pb.CheckRequest()
    http = message.attributes.request.http
    http.method, http.path, http.host = b"GET", b"/api/orders?page=2", b"app.septemcore.com"
    http.headers[":method"] = b"GET"
    if token_bytes is not None:
        http.headers["authorization"] = b"Bearer " + b"\0" * token_bytes
    for index in range(PLAIN_HEADERS):
        http.headers[f"x-header-{index}"] = b"v" * 24
    message.attributes.source.address.socket_address.address = "203.0.113.7"
    return message.SerializeToString()


def is_allowed(answer: bytes) -> bool:
    """Tell whether a ``CheckResponse`` lets the request pass."""
    return bool(pb.CheckResponse.FromString(answer).status.code == 0)


def write_messages(path: Path, messages: Iterable[bytes]) -> None:
    """Write messages to a file, each after its length."""
    with path.open("wb") as file:
        for message in messages:
            file.write(len(message).to_bytes(4, "big") + message)


def read_messages(path: Path) -> Iterator[bytes]:
    """Read what ``write_messages`` wrote."""
    with path.open("rb") as file:
        while head := file.read(4):
            yield file.read(int.from_bytes(head, "big"))


def verify_microseconds(material: Material, calls: int) -> float:
    """CPU of one bare ES256 verification with ``cryptography``, in this thread."""
    data = b"x" * 500
    signature = material.key.sign(data, _ALGORITHM)
    public = material.key.public_key()
    for _ in range(20):
        public.verify(signature, data, _ALGORITHM)
    started = time.thread_time_ns()
    for _ in range(calls):
        public.verify(signature, data, _ALGORITHM)
    return (time.thread_time_ns() - started) / calls / 1000


def cycled(messages: Sequence[bytes], count: int) -> list[bytes]:
    """Repeat messages in turn until there are ``count``."""
    return [messages[index % len(messages)] for index in range(count)]


def _b64(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")
