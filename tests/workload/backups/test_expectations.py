"""An authentic archive may be another one than is wanted."""

import argparse

import pytest

from tests.workload.backups.archives_in_hand import CREATED, label
from workload.backups.errors import ArchiveUnexpected
from workload.backups.expectations import Expectations, shown_time, time_of

LABEL = label(name="orders", tenant="acme")


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (Expectations(name="people"), "a backup of orders, not of people"),
        (Expectations(tenant="other"), "of tenant acme, not of tenant other"),
        (Expectations(tenant=""), "of tenant acme, not of all tenants"),
        (Expectations(newer_than=float(CREATED)), "made at 2026-09-21T14:13:20Z"),
        (Expectations("orders", "acme", CREATED + 9.0), "a newer one than 2026-09-21T14:13:29Z"),
    ],
)
def test_another_archive_is_refused(expected: Expectations, said: str) -> None:
    with pytest.raises(ArchiveUnexpected, match=said):
        expected.require(LABEL)


def test_the_right_one_is_taken() -> None:
    Expectations().require(LABEL)
    Expectations("orders", "acme", CREATED - 0.5).require(LABEL)


def test_times_are_rfc_3339() -> None:
    assert time_of("2026-09-21T14:13:20Z") == time_of("2026-09-21T16:13:20+02:00") == CREATED
    assert time_of("2026-09-21T14:13:20") == CREATED
    assert shown_time(CREATED) == "2026-09-21T14:13:20Z"
    for text in ("", "yesterday", "2026-13-01"):
        with pytest.raises(argparse.ArgumentTypeError, match="no time"):
            time_of(text)
