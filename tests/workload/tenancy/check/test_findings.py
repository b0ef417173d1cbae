"""A row of a rule's query is a finding; its third column makes it a note."""

import pytest

from workload.tenancy.check.findings import Rule

RULE = Rule("r", "hole", "mend {name}, not {detail}", "SELECT")


@pytest.mark.parametrize(
    ("row", "severity"),
    [(("n", "d"), "hole"), (("n", "d", False), "hole"), (("n", "d", True), "note")],
)
def test_a_row_is_a_finding(row: tuple[object, ...], severity: str) -> None:
    assert RULE.found(row) == ("r", severity, "n", "d", "mend n, not {detail}")
