"""A time as an argument: RFC 3339 or Unix seconds, and nothing that compares with no time."""

import argparse

import pytest

from sidecar.cli.arguments import time_argument

TIMES = [
    ("0", 0.0),
    ("1790000000.5", 1_790_000_000.5),
    ("2026-01-01T00:00:00Z", 1_767_225_600.0),
    ("2026-01-01T01:00:00+01:00", 1_767_225_600.0),
    ("2026-01-01", 1_767_225_600.0),
]


@pytest.mark.parametrize(("text", "seconds"), TIMES)
def test_times(text: str, seconds: float) -> None:
    assert time_argument(text) == seconds


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "tomorrow", "", "253402300800"])
def test_no_times(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="neither RFC 3339"):
        time_argument(text)
