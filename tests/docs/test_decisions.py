"""Every decision is listed, and every number is accounted for."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs/decisions"
INDEX = (FOLDER / "README.md").read_text()
RECORDS = {path.name[:4]: path for path in FOLDER.glob("[0-9]*.md")}


def test_the_index_lists_every_decision() -> None:
    rows = re.findall(r"^\| \[(\d{4})\]\(([^)]+)\) \| .+ \|$", INDEX, re.MULTILINE)
    assert rows == [(number, path.name) for number, path in sorted(RECORDS.items())]


def test_no_number_is_absent_without_a_word() -> None:
    said = INDEX[INDEX.index("The numbers ") :]
    unused = set(re.findall(r"\d{4}", said))
    for first, last in re.findall(r"(\d{4}) to (\d{4})", said):
        unused |= {f"{number:04}" for number in range(int(first), int(last) + 1)}
    expected = {f"{number:04}" for number in range(1, int(max(RECORDS)) + 1)}
    assert RECORDS.keys() | unused == expected
    assert not RECORDS.keys() & unused


def test_superseding_is_said_on_both_sides() -> None:
    for number, path in RECORDS.items():
        for later in re.findall(r"\*\*Superseded by \[(\d{4})\]", path.read_text()):
            assert f"Supersedes [{number}]" in RECORDS[later].read_text()
            assert re.search(rf"^\| \[{number}\].*superseded by \[{later}\]", INDEX, re.MULTILINE)
