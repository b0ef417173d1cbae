"""What the table of secrets keeps, and for how long."""

from dataclasses import replace

from sidecar.certificates.managed.store import CertificateStore
from sidecar.sds.subscription import PENDING, Resource
from sidecar.sds.table import SecretTable
from tests.sds.test_service import material


def test_a_certificate_is_encoded_when_asked_for_and_once_a_change() -> None:
    store = CertificateStore(lambda: 0.0)
    table = SecretTable(store)
    store.put("edge", material("1"))
    assert table._encoded == {}
    first = table.lookup("edge", waits=True)
    assert first is not None
    assert table.lookup("edge", waits=True) is first
    store.put("edge", material("2"))
    assert table._encoded == {}, "the old key is let go at once"
    second = table.lookup("edge", waits=True)
    assert isinstance(second, Resource)
    assert second.version == material("2").version


def test_a_chain_that_changes_under_one_leaf_is_another_version_for_envoy() -> None:
    store = CertificateStore(lambda: 0.0)
    table = SecretTable(store)
    versions = set()
    for chain in (b"leaf", b"leaf and intermediate"):
        store.put("edge", replace(material("1"), chain_pem=chain))
        found = table.lookup("edge", waits=True)
        assert isinstance(found, Resource)
        versions.add(found.version)
    assert len(versions) == 2


def test_a_certificate_that_the_start_obtains_is_waited_for() -> None:
    """Told that it does not exist, Envoy would open its listener without it."""
    store = CertificateStore(lambda: 0.0)
    table = SecretTable(store)
    store.expect(["edge"])
    assert table.lookup("edge", waits=True) is PENDING
    assert table.lookup("other", waits=True) is None
    store.expect_no_more()
    assert table.lookup("edge", waits=True) is None
