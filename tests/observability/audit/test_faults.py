"""What a sink may do wrong, and what the audit log makes of it: no line torn, none twice."""

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar.observability.audit import AuditEntry, AuditLog, DescriptorSink, FileSink
from tests.support.failing import fail_on
from tests.support.minting import Issuer
from tests.support.waiting import wait_until

TOKEN = Issuer.generate().mint().decode()


def entry(number: int = 1, kid: str = "") -> AuditEntry:
    return AuditEntry(
        at=float(number), decision_id=f"d{number}", outcome="deny", reason="token_expired",
        status=401, route="api", latency_us=42, kid=kid,
    )  # fmt: skip


def ids(text: str) -> list[str]:
    """Every line must be whole, or this raises."""
    return [json.loads(line)["decision_id"] for line in text.splitlines()]


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """As a disk that fills: the kernel takes a part of a write, then refuses (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class BadSink:
    """A sink that fails as it is told."""

    def __init__(self, *, write: bool = False, reopen: bool = False) -> None:
        self.taken = b""
        self._write = write
        self._reopen = reopen

    def write(self, lines: bytes) -> None:
        if self._write:
            raise OSError(28, "No space left on device")
        self.taken += lines

    def reopen(self) -> None:
        if self._reopen:
            raise OSError(5, "Input/output error")

    def close(self) -> None:
        pass


def test_a_disk_that_fills_tears_no_line_and_repeats_none(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    errors: list[OSError] = []
    with file_size_limit(5000):
        log = AuditLog(FileSink(path), queue_lines=1000, on_error=errors.append)
        for number in range(100):
            log.record(entry(number))
        wait_until(lambda: errors)
    assert path.stat().st_size == 5000
    assert log.close(5)
    assert ids(path.read_text()) == [f"d{n}" for n in range(100)]
    assert (log.written, log.dropped) == (100, 0)


def test_a_file_rotated_in_the_middle_of_a_line_begins_anew_with_a_whole_one(
    tmp_path: Path,
) -> None:
    path, old = tmp_path / "audit.jsonl", tmp_path / "audit.1"
    errors: list[OSError] = []
    with file_size_limit(5000):
        log = AuditLog(FileSink(path), queue_lines=1000, on_error=errors.append)
        for number in range(100):
            log.record(entry(number))
        wait_until(lambda: errors)
        path.rename(old)
    log.reopen()
    assert log.close(5)
    whole, _, torn = old.read_text().rpartition("\n")
    assert torn
    assert ids(whole) + ids(path.read_text()) == [f"d{n}" for n in range(100)]
    assert log.written == 100


def test_closing_reports_lost_lines_and_counts_them() -> None:
    log = AuditLog(BadSink(write=True), queue_lines=100, on_error=lambda _: None)
    log.record(entry(1))
    wait_until(lambda: log.errors)
    log.record(entry(2))
    assert not log.close(5)
    assert (log.written, log.dropped) == (0, 2)


def test_a_rotation_that_fails_does_not_end_the_log() -> None:
    sink = BadSink(reopen=True)
    log = AuditLog(sink, queue_lines=100, on_error=lambda _: None)
    log.reopen()
    wait_until(lambda: log.errors)
    log.record(entry(1))
    assert log.close(5)
    assert ids(sink.taken.decode()) == ["d1"]


def test_an_entry_that_is_no_utf8_is_counted_and_does_not_end_the_log() -> None:
    sink = BadSink()
    log = AuditLog(sink, queue_lines=100, on_error=lambda _: None)
    for number, kid in enumerate(("a", "\ud800", "b")):
        log.record(entry(number, kid))
    assert log.close(5)
    assert ids(sink.taken.decode()) == ["d0", "d2"]
    assert (log.written, log.dropped) == (2, 1)


def test_a_pipe_that_another_process_made_non_blocking_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    log = AuditLog(DescriptorSink(writing), queue_lines=10_000, on_error=fail_on)
    for number in range(3000):
        log.record(entry(number))
    wait_until(lambda: log.queued < 3000)
    taken = b""
    while taken.count(b"\n") < 3000:
        taken += os.read(reading, 4096)
    assert log.close(5)
    os.close(reading)
    os.close(writing)
    assert ids(taken.decode()) == [f"d{n}" for n in range(3000)]
    assert log.errors == 0


class Strange:
    """A sink that raises what it must not, as a library may."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.taken = b""

    def write(self, lines: bytes) -> None:
        if self.left:
            self.left -= 1
            raise ValueError("hvs.what-was-read")
        self.taken += lines

    def reopen(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize(("times", "written"), [(2, [1, 2]), (3, [2])])
def test_a_sink_that_raises_what_it_must_not_stops_no_line_after(
    monkeypatch: pytest.MonkeyPatch, times: int, written: list[int]
) -> None:
    """Tried three times; then the batch is given up, and counted as lost."""
    monkeypatch.setattr("sidecar.observability.audit.log._RETRY_SECONDS", 0.01)
    said: list[OSError] = []
    sink = Strange(times)
    audit = AuditLog(sink, queue_lines=16, on_error=said.append)
    audit.record(entry(1))
    wait_until(lambda: audit.errors == times)
    audit.record(entry(2))
    wait_until(lambda: b"d2" in sink.taken)
    assert audit.close(5)
    assert ids(sink.taken.decode()) == [f"d{number}" for number in written]
    assert audit.dropped == 2 - len(written)
    assert {exc.strerror for exc in said} == {"an unexpected ValueError"}
