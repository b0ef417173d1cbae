"""The checker never raises: whatever the file says, it is good or has problems."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.authz.notes import notes
from sidecar.authz.reach import warnings_of_routes
from sidecar.authz.snapshot import compile_routes
from sidecar.cli.main import main
from sidecar.config.load import check_value
from sidecar.config.model import Config
from sidecar.config.problem import Problem
from sidecar.config.rules import cross_check
from sidecar.config.rules_warnings import config_warnings
from sidecar.config.yamltree import parse_yaml
from tests.config.test_expected import WRONG
from tests.config.walking import ROUNDS, bound_values, places, sample, with_value
from tests.config.walking import settings as every

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "config.example.yaml").read_text()
LINES = EXAMPLE.splitlines(keepends=True)
NASTY = (
    "\0", "\\", '"', "'", "[", "]", "{", "}", ":", "- ", "#", "&a ", "*a", "!!int ", "!!bool xyz",
    '!!int ""', '"\\U00110000"', '"\\ud800"', "${ISSUER}", "null", "~", "1e999", ".nan", "-1", "é",
    "\u2028", "\ufeff", "|", ">", "? ", "<<: ", "%YAML 1.1\n", "---\n", "...\n", "2024-01-01", "\t",
)  # fmt: skip


def judge(value: Any) -> None:
    """Do all that ``sidecar config check`` does with a tree; nothing may raise."""
    problems: list[Problem] = []
    config = check_value(value, problems)
    assert (config is None) == bool(problems)
    if config is not None:
        list(config_warnings(config))
        routes = compile_routes(config)
        list(warnings_of_routes(routes))
        list(notes(config, routes))


DOCUMENTS = [sample(Config, number) for number in range(ROUNDS)]
BOUNDS = [value for _, kind in every() for value, _ in bound_values(kind)]
EXAMPLES_TREE = parse_yaml(EXAMPLE).value


def test_a_document_with_every_setting_is_read() -> None:
    """Its values contradict each other, which the rules say; each alone is right."""
    for document in DOCUMENTS:
        problems: list[Problem] = []
        check_value(document, problems)
        assert not [each for each in problems if " must be a " in f" {each.message}"], problems


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_value_in_any_place_is_good_or_a_problem(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from([*DOCUMENTS, EXAMPLES_TREE, EXAMPLES_TREE]))
    place = data.draw(st.sampled_from(list(places(document))))
    judge(with_value(document, place, data.draw(st.sampled_from([*WRONG, *BOUNDS]))))


def test_every_long_list_of_the_example_is_good_or_a_problem() -> None:
    """Sixty-five sources in a directive, 257 origins: those lists have bounds of their own."""
    for place in places(EXAMPLES_TREE):
        for length in (0, 65, 257, 1025):
            judge(with_value(EXAMPLES_TREE, place, ["'self'"] * length))


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """The example, changed in one to three places."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        key = line.partition(":")[0]
        column = draw(st.integers(0, len(line)))
        text = draw(st.sampled_from(NASTY) | st.text(max_size=8))
        lines[at] = draw(
            st.sampled_from(
                [
                    "", line + line, f"  {line}", line.lstrip(), line.replace("# ", "", 1),
                    f"{key}: {text}\n", line[:column] + text + line[column:], line[:column],
                ]
            )
        )  # fmt: skip
    return "".join(lines)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=mutations())
def test_the_command_ends_with_0_or_2_whatever_is_in_the_file(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    code = main(["config", "check", str(path)])
    printed = capsys.readouterr()
    assert code in {0, 2}
    assert ("good (" in printed.out) == (code == 0)
    assert ("found" in printed.err) == (code == 2)


def test_the_rules_are_all_asked() -> None:
    """The example passes every rule, so a change to it reaches them."""
    problems: list[Problem] = []
    config = check_value(EXAMPLES_TREE, problems)
    assert config is not None
    assert list(cross_check(config)) == []


@pytest.mark.parametrize(
    "raw", [b"", b"\0", b"\xff\xfe", b"[" * 100_000, b"9" * 5000, b"a: &a [*a]"]
)
def test_bytes_that_are_no_configuration_in_a_process_of_its_own(
    tmp_path: Path, raw: bytes
) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(raw)
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "config", "check", str(path)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "found" in done.stderr
