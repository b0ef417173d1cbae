"""The thread of the spool: it opens, appends, waits for what is away, and survives every end."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from sidecar.observability.audit.intake import Intake
from sidecar.observability.audit.spool.keys import DataKey
from sidecar.observability.audit.spool.segments import FolderLock
from sidecar.observability.audit.spool.spool import Spool
from tests.observability.audit.spool.spooled import (
    MAX_BYTES,
    OPENED,
    FixedKey,
    KeyShelf,
    all_of,
    fill,
    lines,
    open_store,
    reader_of,
    segments,
)
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[4]
STARTED: list[Spool] = []


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("sidecar.observability.audit.spool.spool._RETRY_SECONDS", 0.02)
    monkeypatch.setattr("sidecar.observability.audit.spool.spool._POLL_SECONDS", 0.01)
    yield
    while STARTED:
        end(STARTED.pop())


def start(folder: Path, shelf: KeyShelf, *sinks: str, max_bytes: int = MAX_BYTES) -> Spool:
    spool = Spool(
        folder,
        shelf,
        max_bytes=max_bytes,
        intake=Intake(1000, 1_000_000),
        sinks=sinks or ("one",),
        now=lambda: 1000.0,
    )
    STARTED.append(spool)
    spool.start()
    return spool


def end(spool: Spool) -> bool:
    spool.stop()
    ended = spool.join(10)
    spool.release()
    return ended


def had(spool: Spool, name: str = "one") -> list[int]:
    reader = spool.reader(name)
    assert reader is not None
    OPENED.append(reader)
    return all_of(reader)


def test_what_is_put_in_is_spooled_and_outlives_the_process(tmp_path: Path) -> None:
    shelf, folder = KeyShelf(), tmp_path / "spool"
    spool = start(folder, shelf)
    for number in range(0, 100, 10):
        spool.intake.put(lines(number, 10), 10)
    assert end(spool)
    assert (spool.spooled, spool.dropped, spool.intake.waiting) == (100, 0, 0)
    again = start(folder, shelf)
    wait_until(lambda: again.is_open)
    assert again.problem == ""
    assert had(again) == list(range(100))


def test_without_its_key_lines_wait_in_memory_and_are_not_lost(tmp_path: Path) -> None:
    shelf = KeyShelf()
    shelf.away = True
    spool = start(tmp_path / "spool", shelf)
    spool.intake.put(lines(0, 10), 10)
    wait_until(lambda: "does not answer" in spool.problem)
    wait_until(lambda: shelf.asked > 3)
    assert spool.reader("one") is None
    assert spool.intake.waiting == 10
    shelf.away = False
    wait_until(lambda: not spool.intake.waiting)
    assert had(spool) == list(range(10))


def test_an_old_spool_waits_for_its_key_and_comes_before_what_is_new(tmp_path: Path) -> None:
    shelf, folder = KeyShelf(), tmp_path / "spool"
    spool = start(folder, shelf)
    spool.intake.put(lines(0, 10), 10)
    assert end(spool)
    shelf.away, shelf.asked = True, 0
    again = start(folder, shelf)
    again.intake.put(lines(10, 10), 10)
    wait_until(lambda: shelf.asked > 3)
    shelf.away = False
    wait_until(lambda: not again.intake.waiting)
    assert had(again) == list(range(20))


def test_an_end_without_the_spool_counts_what_was_lost(tmp_path: Path) -> None:
    shelf = KeyShelf()
    shelf.away = True
    spool = start(tmp_path / "spool", shelf)
    spool.intake.put(lines(0, 10), 10)
    wait_until(lambda: "does not answer" in spool.problem)
    end(spool)
    assert spool.dropped == 10


def test_a_folder_that_another_has_is_waited_for(tmp_path: Path) -> None:
    """As in an overlapping restart: the one before lets go of it when it has drained."""
    shelf, folder = KeyShelf(), tmp_path / "spool"
    before = start(folder, shelf)
    wait_until(lambda: before.is_open)
    after = start(folder, shelf)
    after.intake.put(lines(10, 10), 10)
    wait_until(lambda: "another process has" in after.problem)
    before.intake.put(lines(0, 10), 10)
    assert end(before)
    wait_until(lambda: after.is_open and not after.intake.waiting)
    assert had(after) == list(range(20))


def test_a_full_spool_drops_what_is_new_and_says_so(tmp_path: Path) -> None:
    spool = start(tmp_path / "spool", KeyShelf(), max_bytes=1_048_576)
    for number in range(1000):
        wait_until(lambda: not spool.intake.waiting)
        spool.intake.put(lines(number * 10, 10, size=5000), 10)
        if spool.dropped_full:
            break
    wait_until(lambda: spool.problem)
    assert "full" in spool.problem
    kept = spool.spooled
    assert had(spool) == list(range(kept))
    spool.intake.put(lines(kept, 1), 1)
    wait_until(lambda: not spool.problem)
    assert had(spool) == [kept]
    assert spool.dropped == spool.dropped_full > 0


def test_a_folder_that_is_removed_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = start(folder, KeyShelf())
    spool.intake.put(lines(0, 10), 10)
    wait_until(lambda: spool.spooled == 10)
    shutil.rmtree(folder)
    spool.intake.put(lines(10, 10), 10)
    wait_until(lambda: spool.spooled == 20)
    assert had(spool) == list(range(10, 20))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not FolderLock(folder).acquire(), "the new folder is locked"


def test_a_folder_that_somebody_else_put_there_is_not_written_to(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = start(folder, KeyShelf())
    wait_until(lambda: spool.is_open)
    folder.rename(tmp_path / "moved")
    folder.mkdir()
    other = FolderLock(folder)
    assert other.acquire()
    spool.intake.put(lines(0, 10), 10)
    wait_until(lambda: "its own" in spool.problem)
    assert segments(folder) == []
    other.release()
    wait_until(lambda: spool.spooled == 10)
    assert had(spool) == list(range(10))


def test_a_folder_that_can_not_be_made_is_a_problem_and_no_end(tmp_path: Path) -> None:
    spool = start(tmp_path / "absent" / "spool", KeyShelf())
    wait_until(lambda: "No such file" in spool.problem)
    (tmp_path / "absent").mkdir()
    wait_until(lambda: spool.is_open)


def test_other_sinks_get_lines_from_then_on(tmp_path: Path) -> None:
    spool = start(tmp_path / "spool", KeyShelf())
    spool.use_sinks(["one", "two"])
    wait_until(lambda: spool.is_open)
    spool.use_sinks(["one", "two", "three"])
    spool.intake.put(lines(0, 10), 10)
    wait_until(lambda: spool.spooled)
    assert [had(spool, name) for name in ("two", "three")] == [list(range(10))] * 2


class SlowShelf(KeyShelf):
    """Gives its key when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = threading.Event()

    def new(self) -> DataKey:
        self.asked += 1
        self.may.wait(60)
        return super().new()


def test_sinks_that_are_named_while_it_opens_get_their_lines(tmp_path: Path) -> None:
    shelf = SlowShelf()
    spool = start(tmp_path / "spool", shelf)
    wait_until(lambda: shelf.asked)
    spool.use_sinks(["one", "two"])
    spool.intake.put(lines(0, 10), 10)
    shelf.may.set()
    wait_until(lambda: spool.spooled)
    assert had(spool, "two") == list(range(10))


KILLED = dedent(
    """
    import sys
    from pathlib import Path
    from tests.observability.audit.spool.spooled import FixedKey, lines, open_store

    store = open_store(Path(sys.argv[1]), FixedKey(), max_bytes=1 << 30)
    number = store.end
    while True:
        for _ in range(3):
            store.append(lines(number, 7), 7)
            number += 7
        store.sync()
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
    """
)


def test_a_process_that_is_killed_loses_nothing_that_was_safe(tmp_path: Path) -> None:
    """Wherever it was in writing, sealing or beginning a segment."""
    safe = 0
    for round_ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert process.stdout is not None
        for _ in range(20 + 37 * round_):
            safe = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        for line in process.stdout:
            safe = int(line) if line.endswith("\n") else safe
        process.stdout.close()
        process.wait()
    store = open_store(tmp_path, FixedKey(), max_bytes=1 << 30)
    reader = reader_of(store)
    found = all_of(reader)
    assert reader.lost == 0
    assert found == list(range(len(found))), "none is missing, none comes twice"
    assert len(found) >= safe
    fill(store, 1)
    assert len(all_of(reader)) == 10
