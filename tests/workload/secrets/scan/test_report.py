"""How a result is shown."""

import json

from workload.secrets.scan.findings import AllowedSecret, SecretFinding
from workload.secrets.scan.report import as_json, as_text, place_of
from workload.secrets.scan.run import ScanResult
from workload.secrets.scan.sources import Unread

FOUND = SecretFinding("jwt", "a\x1b[31m.py", "a\x1b[31m.py", 3, "take it out")
RESULT = ScanResult((FOUND,), (Unread("b", "large"),), (AllowedSecret("c", "*", "r"),), 2)


def test_as_text() -> None:
    assert as_text(RESULT).splitlines() == [
        "jwt  a\\x1b[31m.py:3",
        "      → take it out",
        "not looked at: b: large",
        "allowed and not found: c *: take it out of the list",
        "1 finding in 2 files",
    ]
    assert as_text(ScanResult((), (), (), 1)) == "0 findings in 1 file\n"


def test_of_many_that_were_not_looked_at_some_are_named() -> None:
    text = as_text(ScanResult((), (Unread("b", "large"),) * 25, (), 1))
    assert text.count("b: large") == 20
    assert "not looked at: 5 more" in text


def test_as_json() -> None:
    table = json.loads(as_json(RESULT))
    assert (table["files"], table["findings"][0]["line"]) == (2, 3)
    assert table["unread"] == [{"path": "b", "why": "large"}]


def test_a_place_in_a_commit() -> None:
    assert place_of(FOUND._replace(where="commit abc", path="a")) == "commit abc: a:3"
    assert place_of(FOUND._replace(where="image", path="Env A", line=0)) == "image: Env A"
