"""The entry of publishers: whose key is whose, and what is withdrawn."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import ECAlgorithm

from sidecar.module_signing.publisher_entry import PublisherFault, read_publishers
from sidecar.tokens.jwk import thumbprint

ONE, TWO = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(*form).decode()


def kid(key: ec.EllipticCurvePrivateKey) -> str:
    return thumbprint(key.public_key())


def owner(publishers: object, key: ec.EllipticCurvePrivateKey) -> str | None:
    found = publishers.find(kid(key))  # type: ignore[attr-defined]
    return None if found is None else found.publisher


def test_each_key_belongs_to_its_publisher() -> None:
    publishers = read_publishers({"acme": pem(ONE), "globex": pem(TWO)})
    assert (owner(publishers, ONE), owner(publishers, TWO)) == ("acme", "globex")
    assert publishers.problems == ()
    assert len(publishers) == 2


def test_two_keys_during_a_rotation() -> None:
    publishers = read_publishers({"acme": pem(ONE) + pem(TWO)})
    assert (owner(publishers, ONE), owner(publishers, TWO)) == ("acme", "acme")


def test_of_a_private_key_the_public_half_is_kept() -> None:
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    assert owner(read_publishers({"acme": ONE.private_bytes(*form).decode()}), ONE) == "acme"


def test_a_kid_of_the_publishers_own_choice_is_ignored() -> None:
    """Else one publisher could stand in another's place by publishing under its kid."""
    jwk = {**json.loads(ECAlgorithm.to_jwk(TWO.public_key())), "kid": kid(ONE)}
    publishers = read_publishers({"acme": pem(ONE), "globex": json.dumps(jwk)})
    assert (owner(publishers, ONE), owner(publishers, TWO)) == ("acme", "globex")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("globex", "rubbish", "globex: is neither PEM"),
        ("globex", 7, "globex: is no text"),
        ("Globex_Inc", "x", "'Globex_Inc' is no publisher's id"),
        ("a" * 200, "x", "is no publisher's id"),
        ("globex", '{"keys":[]}', "globex: holds no key"),
    ],
)
def test_an_unreadable_publisher_does_not_affect_the_others(
    name: str, value: object, problem: str
) -> None:
    publishers = read_publishers({name: value, "acme": pem(ONE)})
    assert owner(publishers, ONE) == "acme"
    assert len(publishers.problems) == 1
    assert problem in publishers.problems[0]


@pytest.mark.parametrize("listed", [["a" * 64, "b" * 64], "a" * 64 + "\n" + "b" * 64])
def test_withdrawn_bundles(listed: object) -> None:
    assert read_publishers({"withdrawn_bundles": listed}).withdrawn == {"a" * 64, "b" * 64}


@pytest.mark.parametrize("listed", ["A" * 64, "abc", [7], 7, {"a": 1}, ["a" * 64] * 100_001])
def test_a_list_that_cannot_be_read_is_a_fault(listed: object) -> None:
    """Going on without it would let pass what was withdrawn."""
    with pytest.raises(PublisherFault, match="withdrawn_bundles"):
        read_publishers({"acme": pem(ONE), "withdrawn_bundles": listed})


def test_the_number_of_publishers_is_bounded() -> None:
    with pytest.raises(PublisherFault, match="more than"):
        read_publishers({f"p{number}": "" for number in range(10_001)})
