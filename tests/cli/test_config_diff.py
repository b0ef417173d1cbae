"""``sidecar config diff``: exit codes and output."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import Run

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.yaml"


@pytest.fixture
def wider(tmp_path: Path) -> Path:
    path = tmp_path / "wider.yaml"
    text = EXAMPLE.read_text().replace("  - name: api\n", "  - name: api\n    shadow: true\n")
    path.write_text(text.replace("level: info", "level: debug"))
    return path


def test_a_file_and_itself(run: Run) -> None:
    code, out, _ = run("config", "diff", EXAMPLE, EXAMPLE, "--fail-on", "any")
    assert (code, out) == (0, "no difference: both files decide and answer alike\n")


@pytest.mark.parametrize(
    ("fail_on", "there", "back"),
    [("nothing", 0, 0), ("widen", 1, 0), ("narrow", 0, 1), ("any", 1, 1)],
)
def test_the_exit_code_is_of_what_is_asked_for(
    run: Run, wider: Path, fail_on: str, there: int, back: int
) -> None:
    assert run("config", "diff", EXAMPLE, wider, "--fail-on", fail_on)[0] == there
    assert run("config", "diff", wider, EXAMPLE, "--fail-on", fail_on)[0] == back


def test_what_widens_comes_first_and_says_for_whom(run: Run, wider: Path) -> None:
    _, out, _ = run("config", "diff", EXAMPLE, wider)
    first, last = out.splitlines()
    assert first.startswith("widens   routes: every request for /api and everything else below it")
    assert first.endswith("is everybody (shadow: recorded as a valid token) (route 'api')")
    assert last == "other    log.level: was info, is debug"


def test_as_json(run: Run, wider: Path) -> None:
    _, out, _ = run("config", "diff", EXAMPLE, wider, "--json")
    assert [each["effect"] for each in json.loads(out)] == ["widens", "other"]


def test_a_file_with_a_problem_is_not_compared(run: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("{}")
    assert run("config", "diff", EXAMPLE, bad)[0] == 2
