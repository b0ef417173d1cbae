"""Audit lines at an OpenTelemetry collector: what is sent, and what becomes of refused lines."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sidecar.config import model
from sidecar.observability.audit import AuditLog
from sidecar.observability.audit.otlp import OtlpSink
from tests.observability.audit.test_log import entry
from tests.support.waiting import wait_until


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
def test_refused_lines_are_counted_and_delay_no_later_one(
    status: int, body: str, written: int, lost: int
) -> None:
    collector = Collector()
    collector.statuses, collector.body = [status], body
    url = f"http://127.0.0.1:{collector.server.server_address[1]}/v1/logs"
    log = AuditLog(
        OtlpSink(model.OtlpAudit(url=url), "1.2"), queue_lines=100, on_error=lambda _: None
    )
    log.record(entry())
    wait_until(lambda: log.written + log.dropped)
    assert (log.written, log.dropped) == (written, lost)
    collector.body = ""
    log.record(entry())
    wait_until(lambda: log.written > written)
    assert log.close(5)
    collector.stop()
    assert (log.written, log.dropped) == (written + 1, lost)


@pytest.mark.parametrize(
    ("line", "severity", "attribute"),
    [
        ({"outcome": "allow"}, (9, "INFO"), {"stringValue": "allow"}),
        ({"outcome": "deny"}, (13, "WARN"), {"stringValue": "deny"}),
        ({"outcome": "shadow"}, (9, "INFO"), {"stringValue": "shadow"}),
    ],
)
def test_a_denial_is_a_warning(
    line: dict[str, str], severity: tuple[int, str], attribute: dict[str, str]
) -> None:
    record = record_of({**line, "reason": "r"})
    assert (record["severityNumber"], record["severityText"]) == severity
    assert record["attributes"][0] == {"key": "septem.outcome", "value": attribute}
    assert record["body"] == {"stringValue": f"{line['outcome']}: r"}


def test_numbers_and_lists_keep_their_type() -> None:
    record = record_of({"outcome": "allow", "reason": "r", "status": 200, "warnings": ["a", "b"]})
    values = {each["key"]: each["value"] for each in record["attributes"]}
    assert values["septem.status"] == {"intValue": "200"}
    warnings = [{"stringValue": "a"}, {"stringValue": "b"}]
    assert values["septem.warnings"] == {"arrayValue": {"values": warnings}}
    assert "septem.time" not in values


def record_of(line: dict[str, Any]) -> dict[str, Any]:
    """Return the record that a collector gets for a line."""
    collector = Collector()
    url = f"http://127.0.0.1:{collector.server.server_address[1]}/v1/logs"
    sink = OtlpSink(model.OtlpAudit(url=url), "1.2")
    try:
        sink.write(json.dumps({"time": "1970-01-01T00:00:01.500+00:00", **line}).encode() + b"\n")
    finally:
        sink.close()
        collector.stop()
    (resource,) = collector.documents[0]["resourceLogs"]
    (record,) = resource["scopeLogs"][0]["logRecords"]
    assert record["timeUnixNano"] == "1500000000"
    assert isinstance(record, dict)
    return record


def test_a_member_of_several_is_sent_as_such() -> None:
    collector = Collector()
    url = f"http://127.0.0.1:{collector.server.server_address[1]}/v1/logs"
    sink = OtlpSink(model.OtlpAudit(url=url), "1.2")
    inputs = {"iss": "i", "iat": 1, "exp": 2.5, "roles": ["a"], "dpop": True}
    line = {"time": "2026-01-01T00:00:00.000+00:00", "outcome": "allow", "reason": "r",
            "inputs": inputs}  # fmt: skip
    sink.write(json.dumps(line).encode() + b"\n")
    sink.close()
    collector.stop()
    (record,) = collector.documents[0]["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    values = {each["key"]: each["value"] for each in record["attributes"]}
    listed = values["septem.inputs"]["kvlistValue"]["values"]
    assert {each["key"]: each["value"] for each in listed} == {
        "iss": {"stringValue": "i"},
        "iat": {"intValue": "1"},
        "exp": {"doubleValue": 2.5},
        "roles": {"arrayValue": {"values": [{"stringValue": "a"}]}},
        "dpop": {"boolValue": True},
    }
