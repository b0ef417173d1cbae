"""Reports on their way out, to a receiver that fails, comes back, and gets each once."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sidecar.config.reports import HttpsForwardSettings
from sidecar.csp.reports.forward import HttpsForward, encode_seen
from sidecar.observability.audit import AuditLog, FileSink
from tests.csp.reports.test_suggest import report
from tests.support.failing import fail_on


class Receiver(ThreadingHTTPServer):
    """Takes arrays of reports, once it is well."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.daemon_threads = True
        self.statuses = [503, 302]
        self.taken: list[dict[str, str]] = []
        self.types: set[str | None] = set()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status = self.server.statuses.pop(0) if self.server.statuses else 204
        if status == 204:
            self.server.taken += json.loads(body)
            self.server.types.add(self.headers["content-type"])
        self.send_response(status)
        self.send_header("location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_receiver_that_fails_gets_them_later_and_once(receiver: Receiver) -> None:
    errors: list[str] = []
    url = f"http://127.0.0.1:{receiver.server_address[1]}/r"
    log = AuditLog(
        HttpsForward(HttpsForwardSettings(url=url)),
        queue_lines=1000,
        on_error=lambda exc: errors.append(str(exc.strerror)),
    )
    for number in range(100):
        log.append(encode_seen(report(number, f"https://{number}.example")))
    while log.written < 100 and len(errors) < 3:
        threading.Event().wait(0.05)
    assert log.close(5)
    assert [each["blocked"] for each in receiver.taken] == [
        f"https://{number}.example" for number in range(100)
    ]
    assert errors == [f"the receiver of reports answered {status}" for status in (503, 302)]
    assert receiver.types == {"application/json"}
    assert set(receiver.taken[0]) == {
        "time", "tenant", "document", "directive", "blocked", "disposition", "source",
        "document_id", "client_id",
    }  # fmt: skip


def test_a_receiver_that_is_gone_costs_no_more_than_the_queue() -> None:
    log = AuditLog(
        HttpsForward(HttpsForwardSettings(url="http://127.0.0.1:9/r", timeout_seconds=0.5)),
        queue_lines=50,
        on_error=lambda _: None,
    )
    for number in range(2000):
        log.append(encode_seen(report(number, "x")))
    assert log.queued <= 50
    assert log.dropped >= 1000
    assert not log.close(2)


def test_a_file_has_a_line_each_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "reports.jsonl"
    log = AuditLog(FileSink(path), queue_lines=10, on_error=fail_on)
    log.append(encode_seen(report(1, "https://a.example", at=1.5)))
    assert log.close(5)
    assert json.loads(path.read_text())["time"] == "1970-01-01T00:00:01.500+00:00"
    assert path.stat().st_mode & 0o777 == 0o600
