"""What the start of alerts and of the audit log joins, and which sink the settings name."""

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.config import model
from sidecar.observability import component
from sidecar.observability.alerts import Alert, Severity, WebhookFault
from sidecar.observability.audit import AuditEntry, AuditFault, AuditLog
from sidecar.observability.component import AlertDelivery, prepare_audit, start_audit
from sidecar.observability.health import Health
from sidecar.observability.metrics import Metrics
from tests.support.waiting import until

ENTRY = AuditEntry(
    at=1.0, decision_id="d1", outcome="deny", reason="token_expired", status=401, route="api",
    latency_us=42,
)  # fmt: skip


class Started:
    """An audit log that was started, and all that it was joined with."""

    def __init__(self) -> None:
        self.metrics, self.health, self.stack = Metrics(), Health(), AsyncExitStack()
        self.tasks: list[asyncio.Task[None]] = []

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.create_task(coroutine))

    def audit(self, to: model.AuditSink | tuple[model.AuditSink, ...]) -> AuditLog:
        audit, self.sinks = start_audit(
            model.Audit(to=to), self.metrics, self.health, self.stack, self.spawn, panels={}
        )
        return audit

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.stack.aclose()


async def test_lines_are_written_at_the_drain_and_counted(tmp_path: Path) -> None:
    started = Started()
    path = tmp_path / "audit.jsonl"
    started.audit(model.FileAudit(path=str(path))).record(ENTRY)
    await started.end()
    assert path.read_bytes().count(b"\n") == 1
    assert b"septem_audit_lines_written_total 1.0" in started.metrics.render()


async def test_a_file_that_can_not_be_opened_prevents_the_start(tmp_path: Path) -> None:
    started = Started()
    with pytest.raises(AuditFault):
        started.audit(model.FileAudit(path=str(tmp_path / "no" / "audit")))
    assert started.tasks == []


@pytest.mark.parametrize(
    ("to", "sink"),
    [
        (model.StdoutAudit(), "DescriptorSink"),
        (model.OtlpAudit(url="http://127.0.0.1:1/v1/logs"), "OtlpSink"),
    ],
)
async def test_the_sink_is_the_configured_one(
    to: model.StdoutAudit | model.OtlpAudit, sink: str
) -> None:
    started = Started()
    audit = started.audit(to)
    assert type(audit._sink).__name__ == sink
    await started.end()


async def test_without_its_thread_the_process_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(component, "_WATCH_SECONDS", 0.01)
    started = Started()
    audit = started.audit(model.FileAudit(path=str(tmp_path / "audit")))
    await asyncio.sleep(0)
    assert started.health.problems == {}
    audit.close(5)
    await until(lambda: started.health.problems)
    assert "restart the sidecar" in started.health.problems["audit"]
    await started.end()


@pytest.mark.parametrize("configured", [False, True])
async def test_only_a_webhook_has_delivery_metrics(
    tmp_path: Path, configured: bool, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0")
    secret.chmod(0o600)
    settings = model.WebhookSettings(url="https://alerts.example", secret_file=str(secret))
    started = Started()
    with caplog.at_level(logging.CRITICAL):
        AlertDelivery(settings if configured else None, started.metrics, started.spawn)
    assert (b"septem_alerts_delivered" in started.metrics.render()) is configured
    await started.end()


class Receiver:
    """Takes alerts over HTTP, and keeps the names of those that came."""

    def __init__(self) -> None:
        self.subjects: list[str] = []
        received = self.subjects

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                received.append(json.loads(body)["subject"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


async def test_a_reload_exchanges_the_receiver_and_loses_no_alert(tmp_path: Path) -> None:
    secret, receivers = tmp_path / "secret", (Receiver(), Receiver())
    secret.write_text("a secret of more than sixteen bytes")
    first, second = (
        model.WebhookSettings(url=each.url, secret_file=str(secret)) for each in receivers
    )
    away = model.WebhookSettings(url="http://127.0.0.1:1/", secret_file=str(secret))
    started = Started()
    delivery = AlertDelivery(None, started.metrics, started.spawn)
    try:
        delivery.alerts.say(Alert(Severity.INFO, "nobody", "ok", "no receiver yet"))
        (await delivery.prepare(first))()
        delivery.alerts.say(Alert(Severity.INFO, "one", "ok", "to the first"))
        await until(lambda: receivers[0].subjects == ["one"])
        (await delivery.prepare(away))()
        delivery.alerts.say(Alert(Severity.INFO, "two", "ok", "it waits"))
        (await delivery.prepare(second))()
        # The receiver before may have had it in hand by then: it comes to one of them, or to both.
        await until(lambda: any("two" in each.subjects for each in receivers))
        assert b"septem_alerts_delivered_total" in started.metrics.render()
        with pytest.raises(WebhookFault, match="can't be read"):
            await delivery.prepare(msgspec.structs.replace(second, secret_file="/none"))
        delivery.alerts.say(Alert(Severity.INFO, "three", "ok", "still to the second"))
        await until(lambda: receivers[1].subjects[-1:] == ["three"])
        (await delivery.prepare(None))()
        assert b"septem_alerts_delivered" not in started.metrics.render()
    finally:
        await started.end()
        for each in receivers:
            each.stop()


async def test_a_reload_writes_to_another_file_and_loses_no_line(tmp_path: Path) -> None:
    started = Started()
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    before = model.Audit(to=model.FileAudit(path=str(first)))
    audit = started.audit(before.to)
    audit.record(ENTRY)
    await until(lambda: first.read_bytes().count(b"\n") == 1)
    after = model.Audit(to=model.FileAudit(path=str(second)), sample_allowed=0.5, queue_lines=32)
    adopt, _ = await prepare_audit(audit, started.sinks, after)
    audit.record(ENTRY)
    await until(lambda: first.read_bytes().count(b"\n") == 2)
    adopt()
    for _ in range(3):
        audit.record(ENTRY)
    await until(lambda: second.read_bytes().count(b"\n") == 3)
    assert (audit.sample_allowed, audit.part_of_bounds(2)[0]) == (0.5, 16)
    assert not any(str(first) in link for link in open_files()), "the one before is closed"
    await started.end()
    assert (audit.written, audit.dropped) == (5, 0)


async def test_a_file_of_a_reload_that_is_given_up_is_closed_again(tmp_path: Path) -> None:
    started = Started()
    before = model.Audit(to=model.StdoutAudit())
    audit = started.audit(before.to)
    path = tmp_path / "other.jsonl"
    _, abandon = await prepare_audit(
        audit, started.sinks, model.Audit(to=model.FileAudit(path=str(path)))
    )
    assert any(str(path) in link for link in open_files())
    abandon()
    assert not any(str(path) in link for link in open_files())
    with pytest.raises(AuditFault, match="absent"):
        await prepare_audit(
            audit,
            started.sinks,
            model.Audit(to=model.FileAudit(path=str(tmp_path / "absent/a.jsonl"))),
        )
    await started.end()


def open_files() -> list[str]:
    found: list[str] = []
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(each.readlink()))
    return found
