"""The certificates that are served, and who is notified of a change."""

import pytest

from sidecar.certificates.managed.store import CertificateStore
from workload.x509.material import Material


def material(serial: str, not_after: float = 2000.0) -> Material:
    return Material(b"chain", b"key", ("a.example",), serial, 0.0, not_after)


@pytest.fixture
def changes() -> list[str]:
    return []


@pytest.fixture
def clock() -> list[float]:
    return [1000.0]


@pytest.fixture
def store(changes: list[str], clock: list[float]) -> CertificateStore:
    made = CertificateStore(lambda: clock[0])
    made.watch(changes.append)
    return made


ENDS = [(1999.9, True), (2000.0, False), (2000.1, False)]


@pytest.mark.parametrize(("now", "served"), ENDS)
def test_it_is_served_until_its_end(
    store: CertificateStore, clock: list[float], now: float, served: bool
) -> None:
    store.put("edge", material("1"))
    clock[0] = now
    found = store.get("edge")
    assert (found is not None) is served
    assert [name for name, _ in store] == ["edge"], "its end is shown even when it has passed"


def test_the_last_one_put_is_served(store: CertificateStore, changes: list[str]) -> None:
    for serial in "12":
        store.put("edge", material(serial))
    found = store.get("edge")
    assert found is not None
    assert found.serial == "2"
    assert store.get("other") is None
    assert changes == ["edge", "edge"]


def test_a_removal_is_announced_if_there_was_something(
    store: CertificateStore, changes: list[str]
) -> None:
    store.put("edge", material("1"))
    changes.clear()
    for name in ("edge", "edge", "nobody"):
        store.remove(name)
    assert changes == ["edge"]
    assert store.get("edge") is None


def test_who_stops_watching_is_notified_no_more(store: CertificateStore) -> None:
    seen: list[str] = []
    stop = store.watch(seen.append)
    store.announce("edge")
    stop()
    store.announce("edge")
    assert seen == ["edge"]


def test_a_name_is_expected_until_it_is_there_or_the_start_is_over() -> None:
    store = CertificateStore(lambda: 0.0)
    announced: list[str] = []
    store.watch(announced.append)
    store.expect(["edge", "other"])
    assert store.is_expected("edge")
    store.put("edge", material("1"))
    assert not store.is_expected("edge")
    assert store.is_expected("other")
    store.expect_no_more()
    assert not store.is_expected("other")
    assert announced == ["edge", "other"], "who waits for it is told that it does not exist"
