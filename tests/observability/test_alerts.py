"""Alerts: said once, signed, delivered in order, and never in anyone's way."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sidecar.config import model
from sidecar.observability.alerts import (
    MAX_QUEUED,
    Alert,
    Alerts,
    Severity,
    Webhook,
    WebhookFault,
    read_secret,
)

SECRET = b"a secret of the receiver"


class Receiver:
    """A real HTTP server that keeps what it gets, and fails when told to."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.statuses.pop(0) if receiver.statuses else 204
                if status < 300:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    receiver.got.append((headers, body))
                self.send_response(status)
                self.send_header("location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.stop()


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\n")
    return path


def outage(number: int = 0) -> Alert:
    return Alert(Severity.WARNING, "signing-keys", "outage", f"message {number}")


def hooked(receiver: Receiver, secret_file: Path) -> tuple[Alerts, Webhook, list[float]]:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    alerts = Alerts(lambda: 1_790_000_000.0, with_webhook=True)
    settings = model.WebhookSettings(url=receiver.url, secret_file=str(secret_file))
    webhook = Webhook(
        settings, alerts, now=lambda: 1_790_000_000.0, sleep=sleep, jitter=lambda: 0.0
    )
    return alerts, webhook, slept


async def deliver(webhook: Webhook, alerts: Alerts) -> None:
    task = asyncio.create_task(webhook.run())
    for _ in range(500):
        await asyncio.sleep(0.01)
        if not alerts.queue:
            break
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_alert_is_a_signed_cloud_event(receiver: Receiver, secret_file: Path) -> None:
    alerts, webhook, _ = hooked(receiver, secret_file)
    alerts.say(outage())
    await deliver(webhook, alerts)
    ((headers, body),) = receiver.got
    event = json.loads(body)
    assert headers["content-type"] == "application/cloudevents+json"
    assert event == {
        "specversion": "1.0",
        "id": headers["webhook-id"],
        "source": "/septem-sidecar",
        "type": "com.septemcore.system.health",
        "subject": "signing-keys",
        "time": "2026-09-21T14:13:20.000+00:00",
        "datacontenttype": "application/json",
        "data": {"severity": "warning", "state": "outage", "message": "message 0"},
    }
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{mac}"
    assert (webhook.delivered, webhook.failed, alerts.dropped) == (1, 0, 0)


async def test_a_failing_receiver_is_tried_again_in_order(
    receiver: Receiver, secret_file: Path
) -> None:
    alerts, webhook, slept = hooked(receiver, secret_file)
    receiver.statuses = [500, 302, 429]
    for number in range(3):
        alerts.say(outage(number))
    await deliver(webhook, alerts)
    messages = [json.loads(body)["data"]["message"] for _, body in receiver.got]
    assert messages == ["message 0", "message 1", "message 2"]
    assert slept == [1.0, 2.0, 4.0]
    assert (webhook.delivered, webhook.failed) == (3, 3)
    assert (webhook.problem, webhook.failing_since) == ("", None), "it is delivered again"


async def test_a_receiver_that_is_gone_costs_its_alert_in_the_end(
    receiver: Receiver, secret_file: Path
) -> None:
    alerts, webhook, slept = hooked(receiver, secret_file)
    receiver.statuses = [500] * 12
    alerts.say(outage(1))
    await deliver(webhook, alerts)
    assert (webhook.delivered, alerts.dropped) == (0, 1)
    assert max(slept) == 60.0


def test_the_queue_is_bounded_and_the_oldest_goes() -> None:
    alerts = Alerts(lambda: 0.0, with_webhook=True)
    for number in range(MAX_QUEUED + 10):
        alerts.say(outage(number))
    assert (len(alerts.queue), alerts.dropped) == (MAX_QUEUED, 10)
    assert alerts.queue[0]["data"]["message"] == "message 10"
    assert alerts.raised[Severity.WARNING] == MAX_QUEUED + 10


def test_without_a_webhook_nothing_is_queued() -> None:
    alerts = Alerts(lambda: 0.0, with_webhook=False)
    alerts.say(outage())
    assert not alerts.queue


def test_a_secret_may_be_written_as_standard_webhooks_has_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("whsec_" + base64.b64encode(SECRET).decode())
    assert read_secret(path) == SECRET


@pytest.mark.parametrize("content", ["", "short", "whsec_???", "whsec_c2hvcnQ="])
def test_a_secret_that_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secret"
    path.write_text(content)
    with pytest.raises(WebhookFault) as fault:
        read_secret(path)
    assert "short" not in str(fault.value)
    with pytest.raises(WebhookFault):
        read_secret(tmp_path / "none")
