"""How `make test` spreads the tests over processes: see tests/support/side_by_side.py."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.side_by_side import LONG

ROOT = Path(__file__).parents[2]
SETTINGS = """\
[pytest]
markers = quiet: measures time
"""
TESTS = """\
import os
import time
from pathlib import Path
import pytest

def note(name):
    with open("notes", "a") as notes:
        notes.write(f"{os.getpid()} {name}\\n")

@pytest.mark.parametrize("number", range(3))
def test_loud(number):
    note("loud")
    time.sleep(0.2)
    note("loud")

@pytest.mark.quiet
def test_quiet(server):
    note("quiet")
    time.sleep(0.2)
    note("quiet")
"""

SERVER = """\
import pytest

@pytest.fixture(scope="session", params=["server"])
def server(request):
    pass
"""


def test_the_files_that_are_begun_first_are_there() -> None:
    assert [file for file in LONG if not (ROOT / file).is_file()] == []
    assert len(set(LONG)) == len(LONG)


def test_quiet_tests_run_one_by_one_when_all_others_have_ended(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    (tmp_path / "conftest.py").write_text(SERVER)
    # pytest puts the tests of such a fixture beside each other: the quiet ones behind the first.
    (tmp_path / "test_one.py").write_text(TESTS.replace("loud(number)", "loud(number, server)"))
    for name in ("two", "three"):
        (tmp_path / f"test_{name}.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup"]
    command += ["-p", "tests.support.side_by_side", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert "12 passed" in done.stdout.splitlines()[-1], done.stdout
    notes = [line.split() for line in (tmp_path / "notes").read_text().splitlines()]
    loud, quiet = notes[:18], notes[18:]
    assert {name for _, name in loud} == {"loud"}
    assert len({process for process, _ in loud}) == 2
    assert [name for _, name in quiet] == ["quiet"] * 6
    assert len({process for process, _ in quiet}) == 1
