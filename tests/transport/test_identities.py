"""Certificates and trust bundles for our own listeners: nothing before there is anything."""

from sidecar.transport.identities import Identities, Trusted
from tests.support.authorities import Ca


def test_nobody_is_believed_and_nothing_shown_before_they_are_there() -> None:
    identities = Identities()
    assert identities.material("edge") is None
    assert identities.trusted("scrapers") == Trusted(None, ())
    ours, trusted = Ca("x").material("spiffe://a/b"), Trusted(None, ("a",), ("pin",))
    identities.served_by({"edge": ours}.get, {"scrapers": trusted}.__getitem__)
    assert identities.material("edge") is ours
    assert identities.material("other") is None
    assert identities.trusted("scrapers") is trusted
