"""The audit log: whole lines, in order, and never in a Check's way."""

import json
import os
import stat
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.config import model
from sidecar.observability.audit import (
    AuditEntry,
    AuditFault,
    AuditLog,
    DescriptorSink,
    FileSink,
    OtlpSink,
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

    sink.write = write  # type: ignore[method-assign, assignment]
    log = AuditLog(sink, queue_lines=100, on_error=errors.append)
    log.record(entry())
    wait_until(lambda: log.errors)
    log._wake.set()
    wait_until(lambda: log.written)
    assert log.close(5)
    assert len(errors) == 1
    assert len(lines(path)) == 1


KINDS = {
    "link": "",
    "fifo": "",
    "folder": "",
    "nowhere": "No such file",
    "second name": "second name",
    "another's": "belongs to user 65534",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_that_is_no_file_of_ours(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "audit"
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "second name":
        path.touch()
        (tmp_path / "elsewhere").hardlink_to(path)
    elif kind == "another's":
        if os.geteuid():
            pytest.skip("only root can give a file away")
        path.touch()
        os.chown(path, 65_534, 65_534)
    else:
        path = tmp_path / "no" / "audit"
    with pytest.raises(AuditFault, match=f"can't be opened: .*{KINDS[kind]}"):
        FileSink(path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o666, 0o700, 0o4600, 0o604])
def test_a_file_that_is_there_is_closed_to_others_with_those_rotated_away(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "audit.jsonl"
    ours = [path, *(tmp_path / f"audit.jsonl.{number}" for number in (1, 2, 17))]
    others = [tmp_path / "audit.jsonl.gz", tmp_path / "other.1", tmp_path / "audit_jsonl.1"]
    for each in (*ours, *others):
        each.write_text("a line\n")
        each.chmod(mode)
    (tmp_path / "audit.jsonl.3").symlink_to(others[0])
    FileSink(path).close()
    assert {stat.S_IMODE(each.stat().st_mode) for each in ours} == {0o600}
    assert {stat.S_IMODE(each.stat().st_mode) for each in others} == {mode}
    assert path.read_text() == "a line\n"


def test_a_file_that_logrotate_made_is_closed_to_others_when_it_is_opened_anew(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path)
    path.rename(tmp_path / "audit.jsonl.1")
    path.touch(0o644)
    sink.reopen()
    sink.write(b"a line\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sink.close()


@pytest.mark.parametrize(("mode", "told"), [(0o777, 1), (0o1777, 0), (0o700, 0)])
def test_a_folder_where_anyone_may_replace_the_file_is_told(
    tmp_path: Path, mode: int, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(mode)
    FileSink(tmp_path / "audit.jsonl").close()
    assert len(caplog.records) == told


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


def test_a_file_that_grows_too_large_is_renamed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path, max_bytes=1000, keep=3)
    for number in range(60):
        sink.write(f"{number:099}\n".encode())
    sink.close()
    kept = sorted(each.name for each in tmp_path.iterdir())
    assert kept == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3"]
    assert all(each.stat().st_size <= 1000 for each in tmp_path.iterdir())
    assert all(each.stat().st_mode & 0o777 == 0o600 for each in tmp_path.iterdir())
    newest = path.read_text().splitlines()
    assert int(newest[-1]) == 59
    assert int((tmp_path / "audit.jsonl.1").read_text().splitlines()[-1]) == int(newest[0]) - 1


class Collector:
    """A real HTTP server where an OpenTelemetry collector would be."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        self.body = ""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = collector.statuses.pop(0) if collector.statuses else 200
                if status == 200:
                    collector.documents.append(json.loads(body))
                self.send_response(status)
                self.send_header("content-length", str(len(collector.body)))
                self.end_headers()
                self.wfile.write(collector.body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def test_lines_go_to_a_collector_and_are_sent_again_when_it_fails() -> None:
    collector = Collector()
    collector.statuses = [503]
    errors: list[OSError] = []
    url = f"http://127.0.0.1:{collector.server.server_address[1]}/v1/logs"
    log = AuditLog(
        OtlpSink(model.OtlpAudit(url=url), "1.2"), queue_lines=100, on_error=errors.append
    )
    log.record(entry())
    wait_until(lambda: log.written)
    assert log.close(5)
    collector.stop()
    assert [error.strerror for error in errors] == ["the collector answers 503"]
    (document,) = collector.documents
    (resource,) = document["resourceLogs"]
    (record,) = resource["scopeLogs"][0]["logRecords"]
    attributes = {a["key"]: next(iter(a["value"].values())) for a in record["attributes"]}
    assert record["timeUnixNano"] == "1000000000"
    assert record["severityText"] == "WARN"
    assert attributes["septem.reason"] == "token_expired"
    assert attributes["septem.latency_us"] == "42"


REFUSALS: list[tuple[str, int, str, int, int]] = [
    ("never takes it", 400, "", 0, 1),
    ("too large", 413, "", 0, 1),
    ("takes a part", 200, '{"partialSuccess": {"rejectedLogRecords": "1"}}', 0, 1),
    ("has taken all", 200, '{"partialSuccess": {"errorMessage": "slow down"}}', 1, 0),
    ("says something else", 200, "thank you", 1, 0),
]


@pytest.mark.parametrize(
    ("status", "body", "written", "lost"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS]
)
def test_what_a_collector_refuses_for_good_is_counted_and_holds_back_no_line_after(
    status: int, body: str, written: int, lost: int
) -> None:
    collector = Collector()
    collector.statuses, collector.body = [status], body
    url = f"http://127.0.0.1:{collector.server.server_address[1]}/v1/logs"
    log = AuditLog(
        OtlpSink(model.OtlpAudit(url=url), "1.2"), queue_lines=100, on_error=lambda _: None
    )
    log.record(entry())
    deadline = time.monotonic() + 20
    while log.written + log.dropped < 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (log.written, log.dropped) == (written, lost)
    collector.body = ""
    log.record(entry())
    while log.written < written + 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert log.close(5)
    collector.stop()
    assert (log.written, log.dropped) == (written + 1, lost)


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
def test_who_fills_a_share_leaves_the_others_theirs(line: bytes, queue_lines: int) -> None:
    log, *ends = stalled(queue_lines=queue_lines, queue_bytes=1_000_000)
    greedy, modest = log.share(4), log.share(4)
    taken = sum(greedy.record_lines([line] * 7) for _ in range(50))
    assert taken == 25
    assert log.queued == 25
    assert modest.record_lines([b"mine\n"] * 3) == 3
    assert greedy.record_lines([line]) == 0
    end(log, *ends)


def test_what_was_written_of_a_share_is_given_back(tmp_path: Path) -> None:
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
