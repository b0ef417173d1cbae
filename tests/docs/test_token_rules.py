"""docs/token-rules.md names places that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| (?P<rule>[^|]+) \| (?P<where>[^|]+) \| (?P<test>[^|]+) \|$",
    (ROOT / "docs/token-rules.md").read_text(),
    re.MULTILINE,
)
PLACES = [row for row in ROWS if row[1].startswith("`")]


@pytest.mark.parametrize("row", PLACES, ids=[row[0][:40] for row in PLACES])
def test_every_rule_is_where_the_page_says(row: tuple[str, str, str]) -> None:
    _, where, test = row
    code = re.findall(r"`([^`]+)`", where)
    if code[0].endswith(".py"):
        assert f"def {code[1]}(" in (ROOT / "sidecar" / code[0]).read_text()
    file, name = re.findall(r"`([^`]+)`", test)
    assert f"def {name}(" in (ROOT / file).read_text()


def test_the_page_is_read() -> None:
    assert len(PLACES) > 15
