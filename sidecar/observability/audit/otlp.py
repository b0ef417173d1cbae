"""Audit lines as OpenTelemetry logs: OTLP over HTTP, in JSON."""

import json
from datetime import datetime
from typing import Any

import requests

from sidecar.common.http_client import failure, make_session
from sidecar.config import model
from sidecar.observability.audit.sinks import LinesRefusedError

_SEVERITY_INFO, _SEVERITY_WARN = 9, 13
_SUCCESS = 200
_REFUSED = frozenset({400, 413, 422})
"""What judges the batch itself: sent again, it would be refused again (OTLP 1.x, "Failures")."""


class OtlpSink:
    """A collector (OTLP 1.x, ``POST /v1/logs``).

    A batch is sent again until it is accepted; lines that the collector refuses for
    good are counted as lost, so that later lines are sent.
    """

    def __init__(self, settings: model.OtlpAudit, version: str) -> None:
        self._settings = settings
        self._resource = {
            "attributes": [
                _attribute("service.name", "septem-sidecar"),
                _attribute("service.version", version),
            ]
        }
        self._session: Any = None

    def write(self, lines: bytes) -> None:
        """Send a batch. Raises ``OSError``, or ``LinesRefusedError`` for lines refused for good."""
        if self._session is None:
            self._session = make_session(
                ca_file=self._settings.ca_file, max_response_bytes=1_048_576
            )
        records = [_log_record(json.loads(line)) for line in lines.splitlines()]
        scope = {"scope": {"name": "sidecar.observability.audit"}, "logRecords": records}
        document = {"resourceLogs": [{"resource": self._resource, "scopeLogs": [scope]}]}
        try:
            response = self._session.post(
                self._settings.url,
                json=document,
                timeout=self._settings.timeout_seconds,
                allow_redirects=False,
            )
        except (requests.RequestException, ValueError) as exc:
            why = failure(exc, (self._settings.ca_file,))
            raise OSError(0, f"the collector: {why}") from None
        if response.status_code in _REFUSED:
            raise LinesRefusedError(
                len(records), f"the collector refuses lines: {response.status_code}"
            )
        if response.status_code != _SUCCESS:
            raise OSError(0, f"the collector answers {response.status_code}")
        if rejected := min(_rejected(response.content), len(records)):
            raise LinesRefusedError(rejected, f"the collector refuses {rejected} lines of a batch")

    def reopen(self) -> None:
        """Nothing to reopen."""

    def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            self._session.close()


def _rejected(body: bytes) -> int:
    """Return how many records of a batch that was taken were not (``partialSuccess``)."""
    try:
        match json.loads(body or b"{}"):
            case {"partialSuccess": {"rejectedLogRecords": int() | str() as count}}:
                return max(0, int(count))
    except (ValueError, RecursionError):
        pass  # it has accepted the batch; the rest of its answer has no meaning here
    return 0


def _log_record(line: dict[str, Any]) -> dict[str, Any]:
    """Return one line as an OTLP log record; the fields become attributes."""
    nanoseconds = int(datetime.fromisoformat(line["time"]).timestamp() * 1e9)
    denied = line["outcome"] == "deny"
    return {
        "timeUnixNano": str(nanoseconds),
        "severityNumber": _SEVERITY_WARN if denied else _SEVERITY_INFO,
        "severityText": "WARN" if denied else "INFO",
        "body": {"stringValue": f"{line['outcome']}: {line['reason']}"},
        "attributes": [
            _attribute(f"septem.{name}", value) for name, value in line.items() if name != "time"
        ],
    }


def _attribute(key: str, value: Any) -> dict[str, Any]:
    return {"key": key, "value": _any_value(value)}


def _any_value(value: Any) -> dict[str, Any]:
    """Return a JSON value as OTLP's ``AnyValue``."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_any_value(each) for each in value]}}
        case dict():
            return {"kvlistValue": {"values": [_attribute(*each) for each in value.items()]}}
    return {"stringValue": value}
