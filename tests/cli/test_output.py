"""What commands print as JSON."""

import argparse
import json

import pytest

from sidecar.cli.output import add_json, print_json, print_json_line


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
