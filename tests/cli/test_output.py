"""What commands print: JSON, and what is no result."""

import argparse
import io
import json
import re
from pathlib import Path

import pytest

from sidecar.cli.output import add_json, ask, print_aside, print_json, print_json_line


@pytest.mark.parametrize("show", [print_json, print_json_line])
def test_json_is_ascii(capsys: pytest.CaptureFixture[str], show: object) -> None:
    value = {"name": "é\u2028", "list": [1, None]}
    assert callable(show)
    show(value)
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == value


def test_a_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_json_line({"a": ["b\n", {"c": 1}]})
    assert capsys.readouterr().out.count("\n") == 1


def test_the_option_is_off_unless_it_is_given() -> None:
    parser = argparse.ArgumentParser()
    add_json(parser, "rows")
    assert (parser.parse_args([]).json, parser.parse_args(["--json"]).json) == (False, True)


def test_what_is_no_result_goes_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_aside("then:\n\x1b[2J")
    assert capsys.readouterr() == ("", "then:\\u000a\\u001b[2J\n")


def test_a_question_is_beside_the_result_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(" yes \nno\n"))
    assert ask("Delete \x1b?") == "yes"
    assert capsys.readouterr() == ("", "Delete \\u001b? ")


def test_no_command_asks_by_input() -> None:
    """Its question would be in a redirected output."""
    folder = Path(__file__).parents[2] / "sidecar"
    asking = [path for path in folder.rglob("*.py") if re.search(r"\binput\(", path.read_text())]
    assert asking == []
