"""The table of what keeps a rate limit: its arithmetic, and that each row is what it says."""

import pytest

from bench.limit_table import most_in_a_second, table


@pytest.mark.parametrize(
    ("moments", "most"),
    [([], 0), ([0.5], 1), ([0.0, 0.5, 0.999, 1.0], 3), ([0.0, 2.0, 2.1, 2.2, 2.95], 4)],
)
def test_the_worst_second_begins_anywhere(moments: list[float], most: int) -> None:
    assert most_in_a_second(moments) == most


def test_a_row_that_was_not_measured_says_why() -> None:
    measured = {"envoy": 1.0, "server": 0.0, "redis": 0.0, "together": 1.0}
    lines = list(table({"a": measured | {"mean": 1.0, "worst_second": 1.1}, "b": {"reason": "no"}}))
    assert lines[2:] == ["| a | 1.0 |  |  | 1.0 | 1.000 | 1.100 |", "| b | no | | | | | |"]
