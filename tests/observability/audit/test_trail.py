"""The trail: chained lines in a file, whatever happens to the file and to the process."""

import contextlib
import fcntl
import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sidecar.observability.audit import AuditLog, FileSink
from sidecar.observability.audit.chain import NO_CHAIN, Head, follows, read_link
from sidecar.observability.audit.chain_file import FilePlace, MemoryPlace
from sidecar.observability.audit.fan_out import FanOut, FanOutQueue
from sidecar.observability.audit.intake import Intake
from sidecar.observability.audit.sink_gaps import SinkGaps
from sidecar.observability.audit.trail import Trail
from sidecar.observability.audit.verify import Verifier
from tests.observability.audit.test_chain import line
from tests.observability.audit.test_faults import BadSink, file_size_limit
from tests.support.failing import fail_on
from tests.support.waiting import wait_until


def make(path: Path, **options: Any) -> AuditLog:
    sink = FileSink(path, **options)
    trail = Trail(FilePlace(path), lambda: 0.0)
    return AuditLog(sink, queue_lines=10_000, on_error=lambda _: None, trail=trail)


def write(path: Path, first: int, last: int) -> None:
    log = make(path)
    for number in range(first, last):
        log.append(line(number))
    assert log.close(5)


def links(data: bytes) -> list[dict[str, Any]]:
    """Return the lines; each must follow the one before it."""
    head = None
    found = []
    for each in data.splitlines():
        link = read_link(each)
        assert link is not None, each
        if head is None:
            head = Head(link.head.trail, 0, NO_CHAIN)
        assert follows(head, link), each
        head = link.head
        found.append(json.loads(each))
    return found


def test_a_restart_goes_on_with_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write(path, 0, 10)
    write(path, 10, 20)
    found = links(path.read_bytes())
    assert [each["decision_id"] for each in found] == [f"d{n}" for n in range(20)]
    assert [each["seq"] for each in found] == list(range(1, 21))


def test_a_line_torn_by_a_crash_is_named_by_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write(path, 0, 3)
    with path.open("ab") as file:
        file.write(b'{"time":"2026')
    write(path, 3, 5)
    lines = path.read_bytes().split(b"\n")
    assert lines.pop(3) == b'{"time":"2026'
    found = links(b"\n".join(lines))
    assert [each["reason"] for each in found] == [*["token_expired"] * 3, "foreign_bytes",
                                                  *["token_expired"] * 2]  # fmt: skip
    assert found[3]["foreign_bytes"] == 13


def test_a_chain_begins_behind_lines_that_have_none(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(line(0) + line(1)[:30])
    write(path, 2, 3)
    lines = path.read_bytes().splitlines()
    assert lines[:2] == [line(0)[:-1], line(1)[:30]]
    assert [each["seq"] for each in links(b"\n".join(lines[2:]))] == [1, 2]


def test_two_writers_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    one, two = make(path, max_bytes=40_000, keep=999), make(path, max_bytes=40_000, keep=999)
    for number in range(500):
        one.append(line(2 * number))
        two.append(line(2 * number + 1))
        if number % 50 == 0:
            wait_until(lambda: not (one.queued or two.queued))
    assert one.close(5)
    assert two.close(5)
    rotated = sorted(tmp_path.glob("audit.jsonl.[0-9]*"), key=lambda p: -int(p.suffix[1:]))
    assert len(rotated) > 3
    found = links(b"".join(each.read_bytes() for each in [*rotated, path]))
    assert sorted(each["decision_id"] for each in found) == sorted(f"d{n}" for n in range(1000))


def test_lines_that_were_lost_are_counted_in_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = make(path)
    log.append(line(1))
    wait_until(lambda: log.written)
    log.count_lost(5)
    wait_until(lambda: b"lines_lost" in path.read_bytes())
    log.count_lost(2)
    log.append(line(2))
    assert log.close(5)
    found = links(path.read_bytes())
    assert [each.get("lost", 0) for each in found] == [0, 5, 2, 0]
    assert log.written == 2, "the trail's own lines are not of the queue"
    assert log.settled == log.lines_in


def test_a_disk_that_fills_breaks_no_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    errors: list[OSError] = []
    with file_size_limit(5000):
        trail = Trail(FilePlace(path), lambda: 0.0)
        log = AuditLog(FileSink(path), queue_lines=1000, on_error=errors.append, trail=trail)
        for number in range(100):
            log.append(line(number))
        wait_until(lambda: errors)
    assert log.close(5)
    found = links(path.read_bytes())
    assert [each["decision_id"] for each in found] == [f"d{n}" for n in range(100)]


def test_a_file_rotated_in_the_middle_of_a_line_goes_on_with_a_whole_one(tmp_path: Path) -> None:
    path, old = tmp_path / "audit.jsonl", tmp_path / "audit.1"
    errors: list[OSError] = []
    with file_size_limit(5000):
        trail = Trail(FilePlace(path), lambda: 0.0)
        log = AuditLog(FileSink(path), queue_lines=1000, on_error=errors.append, trail=trail)
        for number in range(100):
            log.append(line(number))
        wait_until(lambda: errors)
        path.rename(old)
    log.reopen()
    assert log.close(5)
    whole, _, torn = old.read_bytes().rpartition(b"\n")
    assert torn
    found = links(whole + b"\n" + path.read_bytes())
    assert [each["decision_id"] for each in found] == [f"d{n}" for n in range(100)]


def test_a_batch_that_is_given_up_leaves_no_hole_in_the_numbers() -> None:
    class Defective(BadSink):
        fails = True

        def write(self, lines: bytes) -> None:
            if self.fails:
                raise ValueError
            super().write(lines)

    sink = Defective()
    trail = Trail(MemoryPlace(), lambda: 0.0)
    log = AuditLog(sink, queue_lines=100, on_error=lambda _: None, trail=trail)
    log.append(line(1))

    def given_up() -> bool:
        log._wake.set()
        return log.dropped == 1

    wait_until(given_up)
    sink.fails = False
    log.append(line(2))
    assert log.close(5)
    found = links(sink.taken)
    assert [each.get("lost") for each in found] == [1, None]


def test_another_sink_gets_the_lines_that_the_one_before_has_not(tmp_path: Path) -> None:
    bad = BadSink(write=True)
    log = AuditLog(
        bad, queue_lines=100, on_error=lambda _: None, trail=Trail(MemoryPlace(), lambda: 0.0)
    )
    log.append(line(1))
    wait_until(lambda: log.errors)
    path = tmp_path / "audit.jsonl"
    place = FilePlace(path)
    assert log.trail is not None
    trail = log.trail
    log.use_sink(FileSink(path), lambda: trail.use_place(place, is_chained=True))
    log.append(line(2))
    assert log.close(5)
    assert [each["decision_id"] for each in links(path.read_bytes())] == ["d1", "d2"]


def test_among_several_receivers_a_chain_names_the_one_before_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write(path, 0, 3)
    sink = BadSink()
    trail = Trail(MemoryPlace(path), lambda: 0.0)
    log = AuditLog(sink, queue_lines=100, on_error=fail_on, trail=trail)
    log.append(line(3))
    assert log.close(5)
    began, decided = links(sink.taken)
    last = links(path.read_bytes())[-1]
    assert began["after"] == f"{last['trail']}-3-{last['chain']}"
    assert decided["trail"] == began["trail"] != last["trail"]


def test_without_a_chain_lines_are_as_they_were_queued() -> None:
    sink = BadSink()
    trail = Trail(MemoryPlace(), lambda: 0.0, is_chained=False)
    log = AuditLog(sink, queue_lines=100, on_error=fail_on, trail=trail)
    log.count_lost(1)
    log.append(line(1))
    assert log.close(5)
    assert sink.taken == line(1)


def wait_for_the_end_of_a_batch(path: Path) -> None:
    """Wait until the writer has given its lock back: it notes then how it left the file."""
    with path.with_name(f"{path.name}.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


@pytest.mark.parametrize("keep", [0, 2])
def test_a_file_that_is_cut_while_it_is_written_lacks_lines(tmp_path: Path, keep: int) -> None:
    """As who wants to hide does it; and logrotate with ``copytruncate``, to the whole file."""
    path = tmp_path / "audit.jsonl"
    log = make(path)
    for number in range(5):
        log.append(line(number))
    wait_until(lambda: log.written == 5)
    wait_for_the_end_of_a_batch(path)
    lines = path.read_bytes().splitlines(keepends=True)
    with path.open("r+b") as file:
        file.truncate(sum(map(len, lines[:keep])))
    log.append(line(5))
    assert log.close(5)
    after = path.read_bytes().splitlines(keepends=True)
    assert len(after) == keep + 1
    assert len(links(b"".join([*lines, after[-1]]))) == 6
    assert log.trail is not None
    assert log.trail.broken == ("line 5 was written, and the file ends with line 2" if keep else "")


def test_a_file_that_is_replaced_by_another_trails_is_no_way_to_end_this_one(
    tmp_path: Path,
) -> None:
    path, other = tmp_path / "audit.jsonl", tmp_path / "other.jsonl"
    write(other, 0, 9)
    log = make(path)
    log.append(line(1))
    wait_until(lambda: log.written == 1)
    wait_for_the_end_of_a_batch(path)
    first = path.read_bytes()
    other.replace(path)
    log.append(line(2))
    assert log.close(5)
    last = path.read_bytes().splitlines(keepends=True)[-1]
    assert len(links(first + last)) == 2
    assert log.trail is not None
    assert "the file ends with line 9" in log.trail.broken


def test_what_somebody_writes_into_the_file_is_named_as_foreign(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = make(path)
    log.append(line(1))
    wait_until(lambda: log.written == 1)
    wait_for_the_end_of_a_batch(path)
    with path.open("ab") as file:
        file.write(b"hello\nworld")
    log.append(line(2))
    assert log.close(5)
    lines = path.read_bytes().splitlines()
    assert lines[1:3] == [b"hello", b"world"]
    found = links(b"\n".join([lines[0], *lines[3:]]))
    assert [each.get("foreign_bytes") for each in found] == [None, 11, None]


def test_a_broken_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write(path, 0, 9)
    path.write_bytes(path.read_bytes().replace(b'"d4"', b'"d5"'))
    trail = Trail(FilePlace(path), lambda: 0.0)
    trail.begin([line(9)], 0)
    trail.close()
    assert trail.broken == "line 5 does not follow the one before it"


WRITER = """
import sys
from pathlib import Path
from tests.observability.audit.test_trail import make
from tests.observability.audit.test_chain import line
log = make(Path(sys.argv[1]), max_bytes=200_000, keep=999)
print("ready", flush=True)
number = 0
while True:
    if log.queued < 5000:
        log.append(line(number, "/" + "x" * (number % 500)))
        number += 1
"""


def bytes_in(folder: Path) -> int:
    """The bytes of a folder's files, as far as none is being renamed just now."""
    count = 0
    for each in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += each.stat().st_size
    return count


@pytest.mark.parametrize("writers", [1, 2])
def test_writers_that_are_killed_leave_a_chain_that_goes_on(tmp_path: Path, writers: int) -> None:
    path = tmp_path / "audit.jsonl"
    for _ in range(2):
        processes = [
            subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE)
            for _ in range(writers)
        ]
        size = bytes_in(tmp_path)

        def has_grown(before: int = size) -> bool:
            return bytes_in(tmp_path) > before + 250_000

        try:
            wait_until(has_grown)
        finally:
            for each in processes:
                each.send_signal(signal.SIGKILL)
                each.wait()
                assert each.stdout is not None
                each.stdout.close()
    write(path, 0, 1)
    rotated = sorted(tmp_path.glob("audit.jsonl.[0-9]*"), key=lambda p: -int(p.suffix[1:]))
    data = b"".join(each.read_bytes() for each in [*rotated, path])
    whole = b"\n".join(each for each in data.split(b"\n") if read_link(each) is not None)
    found = links(whole)
    torn = [each for each in found if each["reason"] == "foreign_bytes"]
    assert len(data) - len(whole) - 1 == sum(each["foreign_bytes"] + 1 for each in torn)


def test_what_one_of_several_sinks_dropped_is_said_in_its_own_copy() -> None:
    gaps, small, large = SinkGaps(), Intake(1, 10**6), Intake(10**6, 10**9)
    queues = [FanOutQueue(small, ("file",)), FanOutQueue(large, ("kafka",))]
    log = AuditLog(
        FanOut(queues, lambda: None, gaps),
        queue_lines=1000,
        on_error=lambda exc: pytest.fail(str(exc)),
        trail=Trail(MemoryPlace(), lambda: 1.8e9, gaps=gaps),
    )
    copies = {small: b"", large: b""}

    def has_written(count: int) -> bool:
        return log.written == count

    def drain() -> None:
        for intake in copies:
            while (batch := intake.take(10**6, 10**9)) is not None:
                copies[intake] += batch.lines
                intake.done(batch)

    for number in range(3):
        log.append(line(number))
        wait_until(partial(has_written, number + 1))
    assert small.dropped == 2
    drain()
    wait_until(lambda: small.waiting == 1)  # that it was dropped, without another line
    drain()
    log.append(line(4))
    assert log.close(5)
    drain()
    found = links(copies[large])
    assert [each["reason"] for each in found].count("sink_dropped") == 1
    kinds = {}
    for name, data in (("file", copies[small]), ("kafka", copies[large]), ("", copies[small])):
        verifier = Verifier(sink=name)
        verifier.begin_file("copy")
        verifier.read(data)
        kinds[name] = [each.kind for each in verifier.finish().findings]
    assert kinds == {"file": ["dropped"], "kafka": [], "": ["missing"]}
