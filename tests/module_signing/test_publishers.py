"""Whose key is whose, and whether anything has changed."""

from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.module_signing.publisher_entry import read_publishers
from sidecar.module_signing.publishers import NO_PUBLISHERS, PublisherKey, Publishers
from tests.module_signing.test_publisher_entry import ONE, TWO, kid, owner, pem


def of(*keys: tuple[str, ec.EllipticCurvePrivateKey]) -> Publishers:
    return Publishers(PublisherKey(name, key.public_key()) for name, key in keys)


def test_a_key_is_found_by_its_thumbprint_alone() -> None:
    publishers = of(("acme", ONE), ("globex", TWO))
    assert publishers.find(kid(ONE)) == PublisherKey("acme", ONE.public_key())
    assert publishers.find("acme") is None
    assert len(publishers) == 2
    assert len(NO_PUBLISHERS) == 0


def test_a_publisher_may_register_a_key_twice() -> None:
    publishers = of(("acme", ONE), ("acme", ONE))
    assert (owner(publishers, ONE), publishers.problems) == ("acme", ())


def test_a_key_of_two_publishers_verifies_for_neither() -> None:
    publishers = read_publishers({"acme": pem(ONE), "globex": pem(ONE) + pem(TWO)})
    assert (owner(publishers, ONE), owner(publishers, TWO)) == (None, "globex")
    assert publishers.problems == ("acme and globex have registered one key",)


def test_whether_anything_has_changed() -> None:
    before = read_publishers({"acme": pem(ONE), "withdrawn_bundles": ["a" * 64]})
    assert before.same_as(read_publishers({"withdrawn_bundles": "a" * 64, "acme": pem(ONE)}))
    for other in (
        {"acme": pem(ONE)},
        {"acme": pem(TWO), "withdrawn_bundles": ["a" * 64]},
        {"globex": pem(ONE), "withdrawn_bundles": ["a" * 64]},
        {"acme": pem(ONE) + pem(TWO), "withdrawn_bundles": ["a" * 64]},
    ):
        assert not before.same_as(read_publishers(other))
