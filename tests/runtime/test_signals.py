"""SIGTERM, SIGINT and SIGHUP during the start: at any moment, and as the first process too."""

import json
import os
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest

from sidecar.runtime.signals import END_SECONDS
from tests.runtime.started import run_source

TRIES = int(os.environ.get("START_TRIES", "6"))
"""Moments of the start at which it is ended; more with START_TRIES=30."""

AT_EVENT = """
import os, signal, sys, time
moment, sys.argv = int(sys.argv[1]), ["sidecar", "serve", "--config", sys.argv[2]]
seen = 0

def on_event(event, arguments):
    # What a start does, file by file, socket by socket, process by process.
    global seen
    if event in {"import", "open", "socket.connect", "socket.bind", "subprocess.Popen"}:
        seen += 1
        if seen == moment:
            os.write(1, f"{time.monotonic()}\\n".encode())
            os.kill(os.getpid(), signal.SIGTERM)

from sidecar.cli.entry import main
import sidecar.runtime.signals as signals
serves = signals.SignalThread.serves
def count(self):
    serves(self)
    os.write(1, f"serves after {seen}\\n".encode())
    os.kill(os.getpid(), signal.SIGTERM)
signals.SignalThread.serves = count
sys.addaudithook(on_event)
sys.exit(main())
"""
"""Serves, and sends itself SIGTERM at a moment: when it has done so many things of its start."""


def left_behind(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*"))


@pytest.fixture(scope="module")
def unshare() -> list[str]:
    """What makes a process the first of its container."""
    words = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    try:
        tried = subprocess.run([*words, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare(1)")
    if tried.returncode:
        pytest.skip("this kernel lets no ordinary user make a PID namespace")
    return words


@pytest.mark.real
@pytest.mark.quiet
def test_a_signal_to_stop_ends_the_start_within_a_second_at_any_moment(whole: Path) -> None:
    folder = whole.parent / "run"
    ended = run_source(AT_EVENT, 0, whole)
    assert ended.returncode == 0, ended.stderr
    total = int(ended.stdout.split()[-1])
    assert total > 500, "the moments are those of a whole start"
    for number in range(TRIES):
        moment = 1 + number * (total - 1) // TRIES
        ended = run_source(AT_EVENT, moment, whole)
        took = time.monotonic() - float(ended.stdout.split()[0])
        assert ended.returncode == 0, (moment, ended.stderr)
        assert took < 1, (moment, ended.stderr)
        assert "stopped" in ended.stderr, moment
        assert "Traceback" not in ended.stderr, (moment, ended.stderr)
        assert all(map(json.loads, ended.stderr.splitlines()))
        assert left_behind(folder) == [], moment


@pytest.mark.real
@pytest.mark.parametrize("share", [0.01, 0.6, 0.98])
def test_as_the_first_process_of_a_container_too(
    whole: Path, unshare: list[str], share: float
) -> None:
    """The kernel ends no such process by a signal that it does not take."""
    total = int(run_source(AT_EVENT, 0, whole, before=unshare).stdout.split()[-1])
    ended = run_source(AT_EVENT, 1 + int(total * share), whole, before=unshare)
    assert ended.returncode == 0, ended.stderr
    assert "serves after" not in ended.stdout


STUCK = """
import os, signal, sys, time
import sidecar.keys.component as component
async def start(*_, **__):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)  # a call of C, with the loop's own thread
component.start = start
from sidecar.cli.entry import main
sys.argv[1:] = ["serve", "--config", sys.argv[1]]
sys.exit(main())
"""


def test_a_start_that_is_stuck_in_a_call_ends_all_the_same(stopped_config: Path) -> None:
    ended = run_source(STUCK, stopped_config)
    assert ended.returncode == 0, ended.stderr
    assert f"did not end within {END_SECONDS} s:" in ended.stderr


HANG_UP = """
import os, signal, sys
from sidecar.runtime.signals import take_signals
taken = take_signals()
for _ in range(2):
    os.kill(os.getpid(), signal.SIGHUP)
import threading, time
while not taken._hang_up_is_due:
    time.sleep(0.001)
got = threading.Semaphore(0)
taken.attach(lambda: print("stop"), got.release)
assert got.acquire(timeout=10)
os.kill(os.getpid(), signal.SIGHUP)
assert got.acquire(timeout=10)
taken.serves()
stopped = threading.Event()
taken.attach(stopped.set, got.release)
for number in (signal.SIGTERM, signal.SIGINT):
    os.kill(os.getpid(), number)
    assert stopped.wait(10)
    stopped.clear()
print("over")
"""


def test_a_hang_up_before_anybody_takes_it_is_kept() -> None:
    """logrotate's may come at any time; and a stop after the start is the drain's to handle."""
    ended = run_source(HANG_UP)
    assert (ended.returncode, ended.stdout) == (0, "over\n"), ended.stderr


IGNORED = """
import os, signal
from sidecar.runtime.signals import TAKEN, ignore_signals
signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)
for number in TAKEN:
    os.kill(os.getpid(), number)
ignore_signals()
assert not signal.pthread_sigmask(signal.SIG_BLOCK, set()) & TAKEN
os.kill(os.getpid(), signal.SIGTERM)
print("lives")
"""


def test_a_worker_ignores_also_what_came_while_it_loaded_its_modules() -> None:
    ended = run_source(IGNORED)
    assert (ended.returncode, ended.stdout) == (0, "lives\n"), ended.stderr


def test_a_signal_before_the_log_is_there_ends_it_with_a_line_like_the_logs() -> None:
    source = "import os, signal, time; from sidecar.runtime.signals import take_signals;"
    source += "take_signals(); os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
    ended = run_source(source)
    assert ended.returncode == 0
    line = json.loads(ended.stderr)
    assert line["level"] == "info"
    assert "waited for its modules and its configuration" in line["message"]
    assert abs(time.time() - datetime.fromisoformat(line["time"]).timestamp()) < 60
