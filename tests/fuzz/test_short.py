"""Every fuzz target for a moment, from its corpus; `make fuzz` runs them for long."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TARGETS = [
    "token",
    "signed",
    "path",
    "check",
    "credential",
    "host",
    "reports",
    "certificate",
    "config",
]
SECONDS = 2


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel here")
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found_in_a_moment(tmp_path: Path, target: str) -> None:
    corpus = HERE / "corpus" / target
    command = [
        sys.executable, "-m", "tests.fuzz.targets", target, str(tmp_path), str(corpus),
        f"-max_total_time={SECONDS}", "-timeout=5", "-rss_limit_mb=2048", "-max_len=16384",
        f"-artifact_prefix={tmp_path}/",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done" in done.stderr
