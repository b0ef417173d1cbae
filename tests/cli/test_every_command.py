"""What holds of every command: JSON, and an end without a traceback wherever its output goes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sidecar.cli.main import COMMANDS
from tests.cli.commands import Run
from tests.cli.conftest import write_files
from tests.cli.table import ROOT, Invocation, invocations, leaves
from tests.support.minting import Issuer

LEAVES = leaves()
WORDS = [leaf.words for leaf in LEAVES]
JSON_LINES = {"token verify"}


def test_every_command_is_in_the_table(files: Path) -> None:
    assert set(invocations(files)) == set(WORDS), "add a row to tests/cli/table.py"


@pytest.mark.parametrize("leaf", LEAVES, ids=WORDS)
def test_every_command_has_json_and_says_what_it_does(leaf: Any) -> None:
    assert "--json" in leaf.parser._option_string_actions
    assert leaf.parser.description
    for action in leaf.parser._actions:
        assert action.help or not action.option_strings, action


@pytest.mark.parametrize("words", [each for each in WORDS if each != "demo"])
def test_with_json_everything_printed_is_json(run: Run, files: Path, words: str) -> None:
    row = invocations(files)[words]
    _, out, err = run(*words.split(), *row.arguments, "--json", stdin=row.stdin)
    documents = [
        *(out.splitlines() if words in JSON_LINES else [out]),
        *err.splitlines(),
    ]
    found = [json.loads(each) for each in documents if each.strip()]
    assert found
    assert out.isascii()


class Result(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def is_quiet(self) -> bool:
        """Whether it ended by itself, with nothing of Python's own on standard error."""
        words = ("Traceback", "Exception ignored", "Error:", "lost sys.stderr")
        return self.code in {0, 1, 2} and not any(word in self.err for word in words)


Results = dict[tuple[str, str], Result]
OUTPUTS = {
    "usual": ("", "utf-8"),
    "closed": ("closed", "utf-8"),
    "full": ("/dev/full", "utf-8"),
    "ascii": ("", "ascii"),
    "redirected": ("beside a terminal", "utf-8"),
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Invocation]:
    folder = tmp_path_factory.mktemp("commands")
    write_files(folder, Issuer.generate())
    return invocations(folder)


@pytest.fixture(scope="module")
def results(rows: dict[str, Invocation]) -> Results:
    """Every command with every output: by the output's name and the command's words."""
    cases = {
        (name, words): {
            "arguments": [*words.split(), *row.arguments],
            "stdin": row.stdin.decode(),
            "output": output,
            "encoding": encoding,
        }
        for name, (output, encoding) in OUTPUTS.items()
        for words, row in rows.items()
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.forking"],
        input=json.dumps(list(cases.values())), capture_output=True, text=True, check=True,
        cwd=ROOT,
    )  # fmt: skip
    ended = (Result(**each) for each in json.loads(done.stdout))
    return dict(zip(cases, ended, strict=True))


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("output", ["usual", "redirected"])
def test_every_command_prints_its_result_alone_on_standard_output(
    results: Results, rows: dict[str, Invocation], output: str, words: str
) -> None:
    result, row = results[output, words], rows[words]
    assert re.fullmatch(row.result, result.out), result
    assert result.out or result.err, "who runs a command is told how it ended"


def test_a_question_is_asked_on_standard_error(results: Results) -> None:
    result = results["redirected", "audit forget"]
    assert "Delete the key? [yes/no]" in result.err
    assert (result.code, result.out) == (1, "")


@pytest.mark.parametrize("words", WORDS)
def test_every_command_survives_a_reader_that_has_gone(results: Results, words: str) -> None:
    result = results["closed", words]
    assert result.is_quiet, result


@pytest.mark.parametrize("words", WORDS)
def test_every_command_says_that_its_output_cannot_be_written(results: Results, words: str) -> None:
    result = results["full", words]
    assert result.is_quiet, result
    if results["usual", words].out:
        assert result.code == 1
        assert "sidecar: the output can't be written: No space left on device" in result.err


@pytest.mark.parametrize("words", WORDS)
def test_every_command_writes_to_an_ascii_terminal(results: Results, words: str) -> None:
    result, usual = results["ascii", words], results["usual", words]
    assert result.is_quiet, result
    assert result.code == usual.code
    assert (result.out + result.err).isascii()
    assert bool(result.out) == bool(usual.out)


INTERRUPTED = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "sidecar.cli." + sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # behind a shell's & it is ignored
sys.meta_path.insert(0, Interrupting())
from sidecar.cli.entry import main
sys.exit(main())
"""


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "serve"])
def test_every_command_ends_quietly_by_ctrl_c_during_its_imports(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, name],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
