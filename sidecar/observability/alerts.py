"""``system.health`` alerts: one when a problem begins, one when it gets worse, one when it ends.

Each alert goes to the log and to a metric and, if configured, to a webhook as a CloudEvent
(CloudEvents 1.0, structured JSON), signed according to Standard Webhooks:
``webhook-signature: v1,base64(HMAC-SHA256(secret, id.timestamp.body))``.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from sidecar.common.blocking import BlockingRunner, BlockingRunnerBusy
from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from sidecar.common.faults import report_to_loop
from sidecar.common.http_client import failure, make_session
from sidecar.config import model
from workload.backoff import Backoff

_SUCCESS_CLASS = 2
_log = logging.getLogger("sidecar.observability.alerts")
EVENT_TYPE = "com.septemcore.system.health"
EVENT_SOURCE = "/septem-sidecar"
MAX_QUEUED = 64
MAX_ATTEMPTS = 12
_RETRIES = Backoff(1.0, 60.0)
MIN_SECRET_BYTES = 16
_BASE64_PREFIX = "whsec_"
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}


class WebhookFault(Fault):
    """The webhook can't be used."""


class Severity(StrEnum):
    """The severity of an alert."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Alert(NamedTuple):
    """One alert. ``subject`` names the affected object, ``state`` its current state."""

    severity: Severity
    subject: str
    state: str
    message: str


class Alerts:
    """Raises alerts: logs, counts and queues them for the webhook."""

    def __init__(self, now: Now, *, with_webhook: bool) -> None:
        self._now = now
        self._with_webhook = with_webhook
        self.queue: deque[dict[str, Any]] = deque()
        self.queued = asyncio.Event()
        self.raised: dict[str, int] = dict.fromkeys(Severity, 0)
        self.latest: deque[tuple[float, Alert]] = deque(maxlen=MAX_QUEUED)
        """The latest alerts, each with its time (Unix seconds)."""
        self.dropped = 0

    def use_webhook(self, with_webhook: bool) -> None:
        """Queue alerts for a webhook from now on, or for none; then those that wait are dropped."""
        self._with_webhook = with_webhook
        if not with_webhook:
            self.dropped += len(self.queue)
            self.queue.clear()

    def say(self, alert: Alert) -> None:
        """Log, count and queue one alert."""
        self.raised[alert.severity] += 1
        now = self._now()
        self.latest.append((now, alert))
        _log.log(
            _LEVELS[alert.severity],
            "%s: %s",
            alert.subject,
            alert.message,
            extra={"state": alert.state},
        )
        if not self._with_webhook:
            return
        if len(self.queue) >= MAX_QUEUED:
            self.queue.popleft()
            self.dropped += 1
        self.queue.append(cloud_event(alert, now, secrets.token_hex(16)))
        self.queued.set()


def cloud_event(alert: Alert, now: float, event_id: str) -> dict[str, Any]:
    """Return an alert as a CloudEvent in structured JSON."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": EVENT_SOURCE,
        "type": EVENT_TYPE,
        "subject": alert.subject,
        "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "datacontenttype": "application/json",
        "data": {"severity": alert.severity, "state": alert.state, "message": alert.message},
    }


def sign(secret: bytes, event_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``webhook-signature`` (Standard Webhooks 1.0)."""
    mac = hmac.new(secret, b"%s.%d.%s" % (event_id.encode(), timestamp, body), hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode("ascii")


def read_secret(path: Path) -> bytes:
    """Read the signing secret; raise ``WebhookFault`` naming the file, never its content."""
    try:
        text = path.read_text(encoding="ascii").strip()
        raw = text.encode()
        if text.startswith(_BASE64_PREFIX):
            raw = base64.b64decode(text.removeprefix(_BASE64_PREFIX), validate=True)
    except (OSError, ValueError):
        raise WebhookFault(
            f"the webhook's secret can't be read from {path}: make it readable by this process"
        ) from None
    if len(raw) < MIN_SECRET_BYTES:
        raise WebhookFault(
            f"the webhook's secret in {path} has fewer than {MIN_SECRET_BYTES} bytes: use another"
        )
    return raw


class Webhook:
    """Delivers queued events in order, each until it is accepted or its attempts are used up."""

    def __init__(
        self,
        settings: model.WebhookSettings,
        alerts: Alerts,
        *,
        now: Now,
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._alerts = alerts
        self._now = now
        self._sleep = sleep
        self._jitter = jitter
        self._secret = read_secret(Path(settings.secret_file))
        self._blocking = BlockingRunner("webhook", 1)
        self._session: Any = None
        self.delivered = 0
        self.failed = 0
        self.problem = ""
        """Why the last delivery failed; empty if it did not."""
        self.failing_since: float | None = None
        """When the first failed since the last that did not (Unix seconds)."""

    async def run(self) -> None:
        """Deliver until cancelled."""
        alerts = self._alerts
        while True:
            while alerts.queue:  # also what another webhook, which this one replaces, has left
                event = alerts.queue[0]
                try:
                    delivered = await self._deliver(event)
                except Exception as exc:  # noqa: BLE001 - the task's edge: the next alert is delivered
                    delivered = False
                    report_to_loop(exc)
                if not delivered:
                    alerts.dropped += 1
                # A full queue may have dropped this event meanwhile.
                if alerts.queue and alerts.queue[0] is event:
                    alerts.queue.popleft()
            await alerts.queued.wait()
            alerts.queued.clear()

    async def _deliver(self, event: dict[str, Any]) -> bool:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                status = await self._blocking.run(
                    lambda: self._post(event), self._settings.timeout_seconds * 2
                )
            except (TimeoutError, BlockingRunnerBusy):
                why = "the webhook did not answer in time"
            except Exception as exc:  # noqa: BLE001 - any exception of a library is a failed attempt
                why = failure(exc, [self._settings.ca_file])
            else:
                if status // 100 == _SUCCESS_CLASS:
                    self.delivered += 1
                    self.problem, self.failing_since = "", None
                    return True
                why = f"the webhook answered {status}"
            self.failed += 1
            self.problem, self.failing_since = why, self.failing_since or self._now()
            _log.warning("alert not delivered: %s", why, extra={"count": attempt})
            await self._sleep(_RETRIES.pause_seconds(attempt, self._jitter()))
        return False

    def _post(self, event: dict[str, Any]) -> int:
        if self._session is None:
            self._session = make_session(ca_file=self._settings.ca_file, max_response_bytes=65_536)
        body = json.dumps(event, separators=(",", ":")).encode()
        timestamp = int(self._now())
        response = self._session.post(
            self._settings.url,
            data=body,
            headers={
                "content-type": "application/cloudevents+json",
                "webhook-id": event["id"],
                "webhook-timestamp": str(timestamp),
                "webhook-signature": sign(self._secret, event["id"], timestamp, body),
            },
            timeout=self._settings.timeout_seconds,
            allow_redirects=False,
        )
        return int(response.status_code)
