"""docs/reasons.md is the enumeration, row for row."""

import re
import runpy
from pathlib import Path

from sidecar.common.reasons import ANSWERS, GRPC_CODES, Grant, Reason

PAGE = (Path(__file__).parents[2] / "docs/reasons.md").read_text()


def test_every_reason_has_its_row_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d{3}) \|", PAGE, re.MULTILINE))
    assert rows == {str(reason): str(ANSWERS[reason].status) for reason in Reason}


def test_every_reason_says_what_it_means_and_what_to_do() -> None:
    rows = re.findall(r"^\| `(\w+)` \| \d{3} \|(.*)\|(.*)\|$", PAGE, re.MULTILINE)
    assert len(rows) == len(Reason)
    assert [name for name, means, todo in rows if not (means.strip() and todo.strip())] == []


def test_every_status_has_its_code_of_grpc() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (\d+) `(\w+)` \|$", PAGE, re.MULTILINE)
    statuses = {answer.status for answer in ANSWERS.values()}
    codes = {status: GRPC_CODES[status] for status in sorted(statuses)}
    assert rows == [(str(s), str(c.value), c.name) for s, c in codes.items()]


def test_every_ground_has_its_row() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| [a-z]", PAGE, re.MULTILINE)) == set(Grant)


def test_every_reason_has_an_answer() -> None:
    assert ANSWERS.keys() == set(Reason)


def test_the_command_line_has_the_page() -> None:
    root = Path(__file__).parents[2]
    rendered = runpy.run_path(str(root / "tools/write_reasons.py"))["rendered"]
    shipped = (root / "sidecar/common/reasons.json").read_text()
    assert rendered(PAGE) == shipped, "run `make schema`"
