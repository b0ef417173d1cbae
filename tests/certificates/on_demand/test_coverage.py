"""Which configured certificate serves a name that is not in the configuration."""

import pytest

from sidecar.certificates.managed.store import CertificateStore
from sidecar.certificates.on_demand.coverage import Coverage
from tests.support.on_demand_world import material

NOW = 1000.0


@pytest.fixture
def store() -> CertificateStore:
    made = CertificateStore(lambda: NOW)
    made.put("edge", material("1", "app.example", "*.app.example"))
    made.put("other", material("2", "*.other.example", "app.example"))
    made.put("old", material("3", "old.example", not_after=NOW))
    made.put("on-demand.example", material("4", "on-demand.example"))
    return made


COVERED = [
    ("by name", "app.example", "edge"),
    ("by a wildcard", "x.app.example", "edge"),
    ("a wildcard is one label", "y.x.app.example", None),
    ("a wildcard is not its own domain", "other.example", None),
    ("in another one", "x.other.example", "other"),
    ("in one that has expired", "old.example", None),
    ("in one that was obtained on demand", "on-demand.example", None),
    ("nowhere", "unknown.example", None),
]


@pytest.mark.parametrize(("name", "key"), [c[1:] for c in COVERED], ids=[c[0] for c in COVERED])
def test_which_covers(store: CertificateStore, name: str, key: str | None) -> None:
    coverage = Coverage(store, ("edge", "other", "old", "missing"))
    coverage.learn("on-demand.example")
    assert coverage.find(name) == key


def test_a_renewed_one_covers_what_it_names_now(store: CertificateStore) -> None:
    coverage = Coverage(store, ("edge",))
    store.put("edge", material("5", "new.example"))
    assert coverage.find("new.example") is None, "until it is learned"
    coverage.learn("edge")
    assert coverage.find("new.example") == "edge"
    assert coverage.find("app.example") is None
    assert coverage.find("x.app.example") is None


def test_one_that_is_no_longer_served_covers_nothing(store: CertificateStore) -> None:
    coverage = Coverage(store, ("edge",))
    store.remove("edge")
    coverage.learn("edge")
    assert coverage.find("app.example") is None


def test_a_name_stays_with_the_certificate_that_had_it_first(store: CertificateStore) -> None:
    coverage = Coverage(store, ("edge", "other"))
    coverage.learn("other")
    assert coverage.find("app.example") == "edge"
