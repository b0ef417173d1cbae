"""Every algorithm accepts its own signatures and nothing else (RFC 7518 §3, RFC 8037 §3.1)."""

import base64
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.algorithms import ALGORITHMS, key_kind
from tests.support.algorithms import private_key, rsa_key, sign

NAMES = sorted(ALGORITHMS)
L25519 = 2**252 + 27742317777372353535851937790883648493


def parts(name: str) -> tuple[bytes, bytes]:
    """Return what PyJWT signed, and its signature."""
    signed, _, signature = sign(name).rpartition(b".")
    return signed, base64.urlsafe_b64decode(signature + b"=" * (-len(signature) % 4))


def verify(name: str, signature: bytes, signed: bytes) -> None:
    ALGORITHMS[name].verify(private_key(name).public_key(), signature, signed)


def test_there_is_no_hmac_and_no_none() -> None:
    assert all(name[:2] in {"ES", "RS", "PS", "Ed"} for name in NAMES)
    assert len(NAMES) == 11


@pytest.mark.parametrize("name", NAMES)
def test_what_pyjwt_signed_is_accepted(name: str) -> None:
    signed, signature = parts(name)
    verify(name, signature, signed)


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_byte_is_refused(name: str) -> None:
    signed, signature = parts(name)
    with pytest.raises((InvalidSignature, Denied)):
        verify(name, signature, signed + b"x")
    for place in (0, len(signature) // 2, -1):
        changed = bytearray(signature)
        changed[place] ^= 1
        with pytest.raises((InvalidSignature, Denied)):
            verify(name, bytes(changed), signed)


SHAPES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "a byte less": lambda s: s[:-1],
    "a byte more": lambda s: s + b"\0",
    "a zero before it": lambda s: b"\0" + s,
    "twice": lambda s: s + s,
    "half": lambda s: s[: len(s) // 2],
}


@pytest.mark.parametrize("change", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_a_signature_of_another_shape_is_refused(
    name: str, change: Callable[[bytes], bytes]
) -> None:
    signed, signature = parts(name)
    with pytest.raises(Denied, match="the signature is not") as denied:
        verify(name, change(signature), signed)
    assert denied.value.reason is Reason.SIGNATURE_INVALID


ORDERS = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@pytest.mark.parametrize("name", ORDERS)
def test_r_and_s_must_be_in_range(name: str) -> None:
    """Zero is CVE-2022-21449; r + n and s + n would be second spellings of one signature."""
    order = ORDERS[name].group_order
    signed, signature = parts(name)
    size = len(signature) // 2
    r, s = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
    biggest = (1 << 8 * size) - 1
    for wrong in ((0, 0), (0, s), (r, 0), (order, s), (r, order), (biggest, s), (r, biggest)):
        made = b"".join(each.to_bytes(size, "big") for each in wrong)
        with pytest.raises(Denied, match="r or s is out of range"):
            verify(name, made, signed)


@pytest.mark.parametrize("name", ["EdDSA", "Ed25519"])
def test_an_s_beyond_the_order_is_refused(name: str) -> None:
    """RFC 8032 §8.4: else there would be a second signature of the same token."""
    signed, signature = parts(name)
    s = int.from_bytes(signature[32:], "little") + L25519
    with pytest.raises(Denied, match="s is out of range"):
        verify(name, signature[:32] + s.to_bytes(32, "little"), signed)


@pytest.mark.parametrize(("one", "other"), list(permutations(NAMES, 2)))
def test_a_signature_of_one_is_none_of_another(one: str, other: str) -> None:
    """Whatever the pair, by the key of the other one; EdDSA has two names and one form."""
    if {one, other} == {"EdDSA", "Ed25519"}:
        return
    signed, signature = parts(one)
    with pytest.raises((InvalidSignature, Denied)):
        verify(other, signature, signed)


DIGESTS = {"PS256": hashes.SHA256(), "PS384": hashes.SHA384(), "PS512": hashes.SHA512()}


@pytest.mark.parametrize("name", DIGESTS)
@pytest.mark.parametrize("change", ["no salt", "a byte more", "a byte less", "the longest"])
def test_the_salt_has_the_length_of_the_digest(name: str, change: str) -> None:
    """RFC 7518 §3.5."""
    digest, key = DIGESTS[name], rsa_key(2048, 0)
    lengths: dict[str, Any] = {
        "no salt": 0,
        "a byte more": digest.digest_size + 1,
        "a byte less": digest.digest_size - 1,
        "the longest": padding.PSS.MAX_LENGTH,
    }
    salted = padding.PSS(padding.MGF1(digest), lengths[change])
    with pytest.raises(InvalidSignature):
        verify(name, key.sign(b"x", salted, digest), b"x")


@pytest.mark.parametrize("name", DIGESTS)
def test_mgf1_has_the_digests_hash(name: str) -> None:
    digest, key = DIGESTS[name], rsa_key(2048, 0)
    salted = padding.PSS(padding.MGF1(hashes.SHA1()), digest.digest_size)  # noqa: S303
    with pytest.raises(InvalidSignature):
        verify(name, key.sign(b"x", salted, digest), b"x")


def test_a_modulus_of_odd_bits_has_a_signature_of_whole_bytes() -> None:
    key = rsa.generate_private_key(65537, 2052)
    signature = key.sign(b"x", padding.PKCS1v15(), hashes.SHA256())
    assert len(signature) == 257
    ALGORITHMS["RS256"].verify(key.public_key(), signature, b"x")


def test_the_kinds_of_keys() -> None:
    kinds = {name: key_kind(private_key(name).public_key()) for name in NAMES}
    assert kinds == {name: (each.kty, each.crv) for name, each in ALGORITHMS.items()}
    assert key_kind(ec.generate_private_key(ec.SECP256K1()).public_key()) is None
    assert key_kind(ed448.Ed448PrivateKey.generate().public_key()) is None
    assert key_kind(ed25519.Ed25519PrivateKey.generate()) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_key_fits_the_algorithms_of_its_kind_alone(name: str) -> None:
    public = private_key(name).public_key()
    fitting = {each.name for each in ALGORITHMS.values() if each.fits(public)}
    assert fitting == {
        each.name
        for each in ALGORITHMS.values()
        if (each.kty, each.crv) == (ALGORITHMS[name].kty, ALGORITHMS[name].crv)
    }
