"""The table itself: no attack holds what it would be judged by."""

import json
import re

import pytest

from demo.tenants.attacks import ATTACKS, LOGIN, Attack, sql, told
from demo.tenants.facts import ATTACKER, ORDERS, PASSWORDS, THEIRS_ALONE, VICTIM
from demo.tenants.installing import EXAMPLE


def test_names_are_told_apart() -> None:
    assert len({each.name for each in ATTACKS}) == len(ATTACKS)
    assert len(ATTACKS) > 40


@pytest.mark.parametrize("attack", ATTACKS, ids=[each.name for each in ATTACKS])
def test_no_request_of_the_attackers_holds_the_loot(attack: Attack) -> None:
    for step in attack.steps:
        if not step.by_victim:
            sent = " ".join((*step.query.values(), json.dumps(step.body)))
            assert re.search(THEIRS_ALONE, sent.replace("ceo@globex.example", "")) is None


def test_loot_is_the_victims_alone() -> None:
    mine, theirs = json.dumps(ORDERS[ATTACKER]), json.dumps(ORDERS[VICTIM])
    assert re.search(THEIRS_ALONE, mine) is None
    assert len(re.findall(THEIRS_ALONE, theirs)) == 8


def test_the_right_password_is_guessed_last_and_after_the_edges_five() -> None:
    (guessing,) = [each for each in ATTACKS if each.steps[0].path == LOGIN]
    guessed = [(step.body or {})["password"] for step in guessing.steps]
    assert guessed.index(PASSWORDS[VICTIM]) == len(guessed) - 1 > 5


def test_statements_stand_between_the_querys_end_and_a_comment() -> None:
    assert sql("TRUNCATE orders").query["words"] == "zz%'; TRUNCATE orders; --"
    assert "RAISE EXCEPTION 'got: %', (SELECT 1)" in told("", "SELECT 1").query["words"]


def test_the_readme_shows_rows_of_the_table() -> None:
    page = (EXAMPLE / "README.md").read_text().partition("## Read it")[0]
    shown = re.findall(r"^\| `?(.+?)`? \|.*\|$", page, re.MULTILINE)
    assert {*shown} - {each.name for each in ATTACKS} == {"Attack"}
    assert f"plays {len(ATTACKS)} attacks" in page
