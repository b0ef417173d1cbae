"""The audit log: whole lines, in order, and never in a Check's way."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from sidecar.observability.audit import (
    AuditEntry,
    AuditLog,
    DescriptorSink,
    FileSink,
    PartialWriteError,
)
from tests.support.failing import fail_on
from tests.support.waiting import wait_until


def entry(number: int = 1) -> AuditEntry:
    return AuditEntry(
        at=float(number), decision_id=f"d{number}", outcome="deny", reason="token_expired",
        status=401, route="api", latency_us=42, path="/api", method="GET",
    )  # fmt: skip


def wait_awake(log: AuditLog, condition: Callable[[], object]) -> None:
    """Wait, while the writer is woken from whatever it waits for."""

    def woken() -> object:
        log._wake.set()
        return condition()

    wait_until(woken)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_arrive_in_order_and_closing_writes_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(FileSink(path), queue_lines=10_000, on_error=fail_on)
    for number in range(3000):
        log.record(entry(number))
    assert log.close(5)
    assert [line["decision_id"] for line in lines(path)] == [f"d{n}" for n in range(3000)]
    assert (log.written, log.dropped) == (3000, 0)
    assert path.stat().st_mode & 0o777 == 0o600
    assert lines(path)[1] == {
        "time": "1970-01-01T00:00:01.000+00:00", "decision_id": "d1", "outcome": "deny",
        "reason": "token_expired", "status": 401, "route": "api", "method": "GET",
        "path": "/api", "latency_us": 42,
    }  # fmt: skip


def test_a_rotated_file_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(FileSink(path), queue_lines=100, on_error=fail_on)
    log.record(entry(1))
    wait_until(lambda: log.written)
    path.rename(tmp_path / "audit.1")
    log.reopen()
    log.record(entry(2))
    assert log.close(5)
    assert [line["decision_id"] for line in lines(tmp_path / "audit.1")] == ["d1"]
    assert [line["decision_id"] for line in lines(path)] == ["d2"]


@pytest.mark.quiet
def test_a_stalled_reader_costs_lines_and_no_time() -> None:
    """A pipe nobody reads: the queue fills, the rest is counted, record returns at once."""
    reading, writing = os.pipe()
    log = AuditLog(DescriptorSink(writing), queue_lines=1000, on_error=lambda _: None)
    slowest = 0.0
    for number in range(20_000):
        started = time.perf_counter()
        log.record(entry(number))
        slowest = max(slowest, time.perf_counter() - started)
    assert slowest < 0.1
    assert log.dropped > 10_000
    assert log.queued <= 1000
    assert not log.close(0.2)
    os.close(reading)
    log._thread.join(5)
    os.close(writing)


def test_a_disk_that_fails_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    errors: list[OSError] = []
    sink = FileSink(path)
    broken = [True]
    real = sink.write

    def write(data: bytes) -> None:
        if broken[0]:
            broken[0] = False
            raise OSError(28, "No space left on device")
        real(data)

    sink.write = write  # type: ignore[method-assign, assignment]
    log = AuditLog(sink, queue_lines=100, on_error=errors.append)
    log.record(entry())
    wait_until(lambda: log.errors)
    log._wake.set()
    wait_until(lambda: log.written)
    assert log.close(5)
    assert len(errors) == 1
    assert len(lines(path)) == 1


def test_of_allowed_decisions_a_sample_and_of_denials_all(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(FileSink(path), queue_lines=10_000, on_error=fail_on, sample_allowed=0.25)
    for number in range(2000):
        decision_id = f"{number * 8_388:016x}"
        for outcome in ("allow", "deny"):
            log.record(msgspec.structs.replace(entry(), decision_id=decision_id, outcome=outcome))
    assert log.close(5)
    outcomes = [line["outcome"] for line in lines(path)]
    assert outcomes.count("deny") == 2000
    assert 450 < outcomes.count("allow") < 550
    assert log.dropped == 0


def stalled(queue_lines: int, queue_bytes: int) -> tuple[AuditLog, int, int]:
    """A log whose sink is a pipe that nobody reads, and is full."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(writing, True)
    log = AuditLog(
        DescriptorSink(writing),
        queue_lines=queue_lines,
        queue_bytes=queue_bytes,
        on_error=lambda _: None,
    )
    log.append(b"taken out\n")
    wait_until(lambda: log.lines_out)
    return log, reading, writing


def end(log: AuditLog, reading: int, writing: int) -> None:
    os.close(reading)
    log.close(5)
    os.close(writing)


def test_the_queue_is_bounded_in_bytes() -> None:
    log, *ends = stalled(queue_lines=10_000, queue_bytes=100_000)
    line = b"x" * 9_999 + b"\n"
    for _ in range(30):
        log.append(line)
    assert (log.queued, log.dropped) == (10, 20)
    assert log.record_lines([line] * 5) == 0
    log.record(entry())
    assert log.dropped == 21
    end(log, *ends)


@pytest.mark.parametrize(
    ("line", "queue_lines"),
    [(b"short\n", 100), (b"x" * 9_999 + b"\n", 4000)],
    ids=["lines", "bytes"],
)
def test_a_full_share_leaves_the_others_free(line: bytes, queue_lines: int) -> None:
    log, *ends = stalled(queue_lines=queue_lines, queue_bytes=1_000_000)
    greedy, modest = log.share(4), log.share(4)
    taken = sum(greedy.record_lines([line] * 7) for _ in range(50))
    assert taken == 25
    assert log.queued == 25
    assert modest.record_lines([b"mine\n"] * 3) == 3
    assert greedy.record_lines([line]) == 0
    end(log, *ends)


def test_a_written_batch_frees_its_share(tmp_path: Path) -> None:
    log = AuditLog(FileSink(tmp_path / "audit"), queue_lines=8, on_error=fail_on)
    share = log.share(2)
    sent = 0
    deadline = time.monotonic() + 20
    while sent < 40 and time.monotonic() < deadline:
        sent += share.record_lines([b"line\n"] * min(3, 40 - sent))
        log._wake.set()
        time.sleep(0.001)
    assert log.close(5)
    assert (log.written, log.dropped) == (40, 0)


def test_whatever_a_sink_raises_the_next_lines_are_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What fails is tried again; a batch that meets a defect three times is counted as lost."""
    sink = FileSink(tmp_path / "audit")
    real, raised = sink.write, [*[ValueError("a defect")] * 3, OSError(5, "gone")]

    def write(data: bytes) -> None:
        if raised:
            raise raised.pop(0)
        real(data)

    def on_error(_exc: OSError) -> None:
        raise KeyError("a defect of whoever is told")

    sink.write = write  # type: ignore[method-assign, assignment]
    log = AuditLog(sink, queue_lines=100, on_error=on_error)
    log.record(entry(1))
    wait_awake(log, lambda: log.errors >= 3)
    log.record(entry(2))
    wait_awake(log, lambda: log.errors >= 4)
    wait_awake(log, lambda: log.written)
    assert log.is_writing
    assert log.close(5)
    assert [line["decision_id"] for line in lines(tmp_path / "audit")] == ["d2"]
    assert (log.written, log.dropped, log.errors) == (1, 1, 4)
    assert "audit lines are lost" in caplog.text


class TornSink:
    """Takes the first bytes of a batch, and then nothing."""

    def __init__(self) -> None:
        self.taken = b""
        self.closed = False

    def write(self, lines: bytes) -> None:
        if not self.taken:
            self.taken = lines[:7]
            raise PartialWriteError(OSError(28, "no space"), 7)
        raise OSError(28, "no space")

    def reopen(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def test_a_line_that_one_sink_has_in_part_is_written_whole_to_the_next(tmp_path: Path) -> None:
    torn, path = TornSink(), tmp_path / "next.jsonl"
    log = AuditLog(torn, queue_lines=16, on_error=lambda _exc: None)
    log.append(b"abc\n")
    log.append(b"defgh\n")
    wait_until(lambda: torn.taken)
    log.use_sink(FileSink(path))
    assert log.close(5)
    assert path.read_bytes() in {b"abc\ndefgh\n", b"defgh\n"}
    assert torn.closed
    assert log.dropped == 0
