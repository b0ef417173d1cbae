"""The signature of a bundle: one format, one reading, bound to one key."""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.module_signing.publishers import PublisherKey, Publishers
from sidecar.module_signing.signature import TYPE, find_publisher, sign_digest
from sidecar.tokens.jwk import thumbprint

BUNDLE = b"export default 1;"
DIGEST = hashlib.sha256(BUNDLE).digest()
KEY, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
PUBLISHERS = Publishers([PublisherKey("acme", KEY.public_key())])
GOOD = sign_digest(DIGEST, KEY)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed(payload: bytes = DIGEST, key: ec.EllipticCurvePrivateKey = KEY, **header: Any) -> str:
    """Sign with PyJWT, another hand, and take the payload out."""
    full = {"kid": thumbprint(KEY.public_key()), "typ": TYPE, **header}
    whole = jwt.PyJWS().encode(payload, key, "ES256", full)
    head, _, tail = whole.split(".")
    return f"{head}..{tail}"


def with_signature(change: Callable[[bytes], bytes]) -> str:
    head, _, tail = GOOD.partition("..")
    return f"{head}..{b64(change(unb64(tail)))}"


def test_what_is_signed_is_the_publishers() -> None:
    assert find_publisher(GOOD.encode(), DIGEST, PUBLISHERS) == "acme"


def test_it_is_a_jws_that_others_make_and_read() -> None:
    assert find_publisher(signed().encode(), DIGEST, PUBLISHERS) == "acme"
    head, _, tail = GOOD.partition("..")
    read = jwt.PyJWS().decode(f"{head}.{b64(DIGEST)}.{tail}", KEY.public_key(), ["ES256"])
    assert read == DIGEST


MALFORMED, INVALID, UNKNOWN = (
    Reason.MODULE_SIGNATURE_MALFORMED,
    Reason.MODULE_SIGNATURE_INVALID,
    Reason.MODULE_KEY_UNKNOWN,
)
TWICE = b'{"alg":"ES256","alg":"ES256"}'
NONE = json.dumps({"alg": "none", "typ": TYPE, "kid": thumbprint(KEY.public_key())}).encode()
NAMELESS = json.dumps({"alg": "ES256", "typ": TYPE}).encode()
NUMBER = json.dumps({"alg": "ES256", "typ": TYPE, "kid": 7}).encode()
HEAD, _, TAIL = GOOD.partition("..")
ROWS = [
    ("empty", "", MALFORMED),
    ("no dots", "abc", MALFORMED),
    ("a whole JWS, its payload inside", f"{HEAD}.{b64(DIGEST)}.{TAIL}", MALFORMED),
    ("three dots", f"{HEAD}...{TAIL}", MALFORMED),
    ("twice, as Envoy joins them", f"{GOOD},{GOOD}", MALFORMED),
    ("a space", f"{HEAD}.. {TAIL}", MALFORMED),
    ("padding", f"{GOOD}==", MALFORMED),
    ("stray trailing bits", GOOD[:-1] + ("B" if GOOD[-1] != "B" else "C"), MALFORMED),
    ("too short", with_signature(lambda raw: raw[:-1]), MALFORMED),
    ("too long", with_signature(lambda raw: raw + b"\0"), MALFORMED),
    ("very long", "a" * 100_000, MALFORMED),
    ("not JSON", f"{b64(b'{')}..{TAIL}", MALFORMED),
    ("a member twice", f"{b64(TWICE)}..{TAIL}", MALFORMED),
    ("alg none", f"{b64(NONE)}..{TAIL}", MALFORMED),
    ("a token's typ", signed(typ="at+jwt"), MALFORMED),
    ("one more member", signed(jku="https://evil.example"), MALFORMED),
    ("a kid that is no text", f"{b64(NUMBER)}..{TAIL}", MALFORMED),
    ("no kid", f"{b64(NAMELESS)}..{TAIL}", MALFORMED),
    ("a kid that nobody has", signed(kid="x"), UNKNOWN),
    ("another key under this kid", signed(key=OTHER), INVALID),
    ("another bundle", signed(hashlib.sha256(b"other").digest()), INVALID),
    ("the bundle, not its digest", signed(BUNDLE), INVALID),
    ("one bit", with_signature(lambda raw: bytes([raw[0] ^ 1]) + raw[1:]), INVALID),
    ("r and s zero", with_signature(lambda _: bytes(64)), INVALID),
    ("r out of range", with_signature(lambda raw: ORDER.to_bytes(32, "big") + raw[32:]), INVALID),
    ("DER in place of r and s", f"{HEAD}..{b64(b'0' * 70)}", MALFORMED),
]


@pytest.mark.parametrize(("text", "reason"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_rows(text: str, reason: Reason) -> None:
    with pytest.raises(Denied) as denied:
        find_publisher(text.encode(), DIGEST, PUBLISHERS)
    assert denied.value.reason is reason, denied.value.detail


def test_a_withdrawn_key_is_unknown() -> None:
    with pytest.raises(Denied) as denied:
        find_publisher(GOOD.encode(), DIGEST, Publishers())
    assert denied.value.reason is UNKNOWN


@given(st.binary(max_size=600))
def test_whatever_comes_is_refused_with_a_reason(raw: bytes) -> None:
    with pytest.raises(Denied) as denied:
        find_publisher(raw, DIGEST, PUBLISHERS)
    assert denied.value.reason in {MALFORMED, UNKNOWN, INVALID}
