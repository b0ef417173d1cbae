"""The measures of a process, and how an operator reads which are missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.runtime.hardening import process
from sidecar.runtime.hardening.process import (
    Hardening,
    adopt_orphans,
    code_folders,
    confine_worker,
    harden_process,
    prefer_for_oom_killer,
)

ROOT = Path(__file__).parents[3]
TELL = """
from sidecar.runtime.hardening.process import harden_process
harden_process()
print(open("/proc/self/status").read())
print(open("/proc/self/limits").read())
"""


def test_a_core_is_not_written_and_nothing_is_gained_by_exec() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TELL], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "NoNewPrivs:\t1" in done.stdout
    (core,) = [line for line in done.stdout.splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]


def test_what_is_missing_is_named() -> None:
    whole = Hardening(("a",)) + Hardening(("b",), ("Landlock (the kernel has no Landlock)",))
    assert str(whole) == "a, b; missing: Landlock (the kernel has no Landlock)"
    assert str(Hardening()) == "nothing"


def test_what_may_be_read_is_code_and_no_folder_above_it() -> None:
    folders = code_folders()
    assert {ROOT / "sidecar", ROOT / "workload"} <= set(folders)
    assert not [each for each in folders if each in {Path("/"), Path("/usr"), ROOT}]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (OSError(1, "Operation not permitted"), "Operation not permitted"),
        (ValueError("not allowed to raise maximum limit"), "not allowed to raise maximum limit"),
    ],
)
def test_a_measure_that_fails_is_skipped_and_named_and_the_others_are_taken(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, reason: str
) -> None:
    taken: list[tuple[int, ...]] = []

    def limit(*_: object) -> None:
        raise failure

    monkeypatch.setattr(process, "prctl", lambda *arguments: taken.append(arguments))
    monkeypatch.setattr("resource.setrlimit", limit)
    hardening = harden_process() + adopt_orphans()
    assert hardening.held == ("no new privileges", "memory closed", "subreaper")
    assert hardening.missing == (f"no core ({reason})",)
    assert taken == [(38, 1), (4, 0), (36, 1)]


def test_the_version_of_landlock_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "restrict_self", lambda _folders: 5)
    monkeypatch.setattr(process, "refuse_calls", lambda: None)
    assert confine_worker() == Hardening(("Landlock 5", "seccomp"))


@pytest.mark.parametrize(("before", "after"), [(-997, -497), (0, 500), (900, 1000)])
def test_a_worker_is_the_kernels_choice_when_memory_runs_out(
    tmp_path: Path, before: int, after: int
) -> None:
    file = tmp_path / "oom_score_adj"
    file.write_text(f"{before}\n")
    prefer_for_oom_killer(file)
    assert file.read_text() == str(after)
