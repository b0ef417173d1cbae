"""Which CRLs are taken, and what they and their deltas list."""

from datetime import UTC, datetime

import pytest

from tests.support.authorities import Ca, pem
from workload.x509.crls import (
    BundleFault,
    RevokedSince,
    crl_ends_at,
    is_delta,
    read_crls,
    revoked_serials,
    split_crls,
)

NOW = datetime(2026, 11, 24, tzinfo=UTC)
AT = NOW.timestamp()
CA, NAMESAKE, OTHER = (Ca(name, now=NOW) for name in ("a", "a", "b"))
LEAF, _ = CA.leaf("spiffe://d/a")
SERIAL = LEAF.serial_number


def read(*crls: str, ended: tuple[Ca, ...] = ()) -> tuple[int, int]:
    """Return how many CRLs were taken, and how many deltas."""
    found = read_crls(crls, [CA.certificate], [each.certificate for each in ended], AT)
    return len(found.complete), len(found.revoked_since)


TAKEN = [
    ("one", [pem(CA.crl())], (1, 0)),
    ("one, twice", [pem(CA.crl())] * 2, (1, 0)),
    ("with its delta", [pem(CA.crl()), pem(CA.crl([7], delta=True))], (1, 1)),
    ("a delta that has ended", [pem(CA.crl()), pem(CA.crl([7], hours=-1, delta=True))], (1, 0)),
    ("an ended CA's", [pem(OTHER.crl())], (0, 0)),
    ("an ended CA's ended", [pem(CA.crl()), pem(OTHER.crl(hours=-5))], (1, 0)),
]


@pytest.mark.parametrize(("crls", "counts"), [t[1:] for t in TAKEN], ids=[t[0] for t in TAKEN])
def test_what_is_taken(crls: list[str], counts: tuple[int, int]) -> None:
    assert read(*crls, ended=(OTHER,)) == counts


REFUSED = [
    ("a stranger's", pem(OTHER.crl()), "signed by no CA here"),
    ("a namesake's", pem(NAMESAKE.crl()), "signed by no CA here"),
    ("a stranger's delta", pem(OTHER.crl(delta=True)), "signed by no CA here"),
    ("ended", pem(CA.crl(hours=-1)), "CN=a has ended; set auto_rebuild"),
    ("none", "hello", "not in PEM"),
    ("huge", "x" * 4_194_305, "more than 4194304 bytes"),
]


@pytest.mark.parametrize(("crl", "said"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_is_refused(crl: str, said: str) -> None:
    with pytest.raises(BundleFault, match=said):
        read(crl)


def test_a_delta_lists_by_the_ca_and_not_by_the_serial_alone() -> None:
    (since,) = read_crls(
        [pem(CA.crl([SERIAL], delta=True))], [CA.certificate], [], AT
    ).revoked_since
    assert since.lists(LEAF)
    theirs, _ = NAMESAKE.leaf("spiffe://d/a")
    assert not RevokedSince.of(CA.certificate, frozenset({theirs.serial_number})).lists(theirs)


def test_a_delta_that_is_made_anew_with_the_same_is_the_same() -> None:
    one, two = (
        read_crls([pem(CA.crl([7], hours=hours, delta=True))], [CA.certificate], [], AT)
        for hours in (1, 2)
    )
    assert one.revoked_since[0].digest == two.revoked_since[0].digest


def test_what_is_restored_is_not_revoked() -> None:
    assert revoked_serials(CA.crl([7], delta=True, restored=[8])) == {7}
    assert revoked_serials(CA.crl([7, 8])) == {7, 8}


def test_deltas_are_known_by_their_extension() -> None:
    assert is_delta(CA.crl(delta=True))
    assert not is_delta(CA.crl())


def test_ends_and_texts() -> None:
    assert crl_ends_at(CA.crl(hours=2)) == AT + 7200
    one, two = pem(CA.crl()), pem(OTHER.crl([7]))
    assert split_crls(one + two) == [one, two]
    assert split_crls("") == []
