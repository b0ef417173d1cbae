"""What ``make test`` does with a test that failed beside others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "second_look.py"
SETTINGS = "[pytest]\nmarkers =\n  real: x\n  quiet: x\n  xdist_group: x\n"
ONCE = "if not FILE.exists():\n        FILE.touch()\n        raise AssertionError"
ALWAYS = "raise AssertionError"
GOOD = "pass"


PLUGIN = """\
import pytest
def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("quiet"):
            item.add_marker(pytest.mark.xdist_group("quiet"))
"""


def of(kind: str, body: str, number: int) -> str:
    marker = f"@pytest.mark.{kind}\n" if kind else ""
    return f"{marker}def test_{number}() -> None:\n    {body.replace('FILE', f'FILES[{number}]')}\n"


@pytest.mark.parametrize(
    ("tests", "status", "said"),
    [
        pytest.param([("real", ONCE), ("", GOOD)], 0, "1 passed in", id="lost-a-race"),
        pytest.param([("quiet", ONCE), ("", GOOD)], 0, "1 passed in", id="time-under-load"),
        pytest.param([("real", ALWAYS)], 1, "1 failed", id="a-true-failure"),
        pytest.param([("real", ONCE), ("", ONCE)], 1, "1 deselected", id="nothing-real-in-one"),
        pytest.param([("real", ONCE)] * 4, 1, "at most 3", id="too-many"),
    ],
)
def test_only_a_few_real_tests_get_it(
    tmp_path: Path, tests: list[tuple[str, str]], status: int, said: str
) -> None:
    head = "from pathlib import Path\nimport pytest\n"
    files = f"FILES = [Path(str(number)) for number in range({len(tests)})]\n"
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    (tmp_path / "conftest.py").write_text(PLUGIN)
    (tmp_path / "test_it.py").write_text(
        head + files + "".join(of(*each, number) for number, each in enumerate(tests))
    )

    def run(*command: str) -> tuple[int, str]:
        ended = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, check=False, capture_output=True, text=True,
            env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        )  # fmt: skip
        return ended.returncode, ended.stdout + ended.stderr

    run("-m", "pytest", "-p", "xdist", "-q", "-n", "1", "--dist", "loadgroup")
    code, output = run(str(TOOL), "-q")
    assert (code, said in output) == (status, True), output
