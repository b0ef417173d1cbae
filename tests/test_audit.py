"""The audit log: whole lines, in order, and never in a Check's way."""

import json
import os
import time
from pathlib import Path

import pytest

from sidecar.audit import AuditEntry, AuditFault, AuditLog, DescriptorSink, FileSink


def entry(number: int = 1) -> AuditEntry:
    return AuditEntry(
        at=float(number), decision_id=f"d{number}", outcome="deny", reason="token_expired",
        status=401, route="api", latency_us=42, path="/api", method="GET",
    )  # fmt: skip


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_arrive_in_order_and_closing_writes_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(FileSink(path), queue_lines=10_000, on_error=pytest.fail)
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
    log = AuditLog(FileSink(path), queue_lines=100, on_error=pytest.fail)
    log.record(entry(1))
    while not log.written:
        time.sleep(0.01)
    path.rename(tmp_path / "audit.1")
    log.reopen()
    log.record(entry(2))
    assert log.close(5)
    assert [line["decision_id"] for line in lines(tmp_path / "audit.1")] == ["d1"]
    assert [line["decision_id"] for line in lines(path)] == ["d2"]


def test_a_reader_who_stalls_costs_lines_and_no_time() -> None:
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

    sink.write = write  # type: ignore[method-assign]
    log = AuditLog(sink, queue_lines=100, on_error=errors.append)
    log.record(entry())
    while not log.errors:
        time.sleep(0.01)
    log._wake.set()
    while not log.written:
        time.sleep(0.01)
    assert log.close(5)
    assert len(errors) == 1
    assert len(lines(path)) == 1


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "nowhere"])
def test_a_path_that_is_no_file_of_ours(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "audit"
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path = tmp_path / "no" / "audit"
    with pytest.raises(AuditFault, match="can't be opened"):
        FileSink(path)
