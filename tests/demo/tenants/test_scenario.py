"""The verdict under the table."""

import io

import pytest
from rich.console import Console

from demo.tenants.attacks import LIST, Attack
from demo.tenants.playing import AttackRow, Played
from demo.tenants.scenario import show_attacks
from demo.tenants.targets import Answer
from workload.tenancy.check.findings import Finding

GOT, NOTHING = Played((Answer(200, "[1]"),), "laser-7263"), Played((Answer(200, "[]"),), "")
ATTACK = Attack("[b]one[/]", (LIST,))
HOLE = Finding("rls_disabled", "hole", "orders", "row level security is off", "protect it")
NOTE = Finding("others_above_policies", "note", "postgres", "is a superuser", "know it")


@pytest.mark.parametrize(
    ("protected", "control", "findings", "good"),
    [
        (NOTHING, GOT, [NOTE], True),
        (NOTHING, GOT, [HOLE], False),
        (NOTHING, NOTHING, [], False),
        (GOT, GOT, [], False),
    ],
    ids=["all is well", "a hole in the database", "a control that holds", "a leak"],
)
def test_the_table_fails_where_something_is_wrong(
    protected: Played, control: Played, findings: list[Finding], good: bool
) -> None:
    printed = io.StringIO()
    console = Console(file=printed, width=120)
    assert show_attacks([AttackRow(ATTACK, protected, control)], findings, console) is good
    assert "[b]one[/]" in printed.getvalue()
    assert ("1 of 1 attacks give nothing" in printed.getvalue()) is good
    assert ("WRONG" in printed.getvalue() or "check" in printed.getvalue()) is True
