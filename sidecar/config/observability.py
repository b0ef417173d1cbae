"""The settings of what the sidecar says of itself: alerts, and its own log."""

from typing import Annotated, Literal

from msgspec import Meta

from sidecar.config.base import CallSeconds, FilePath, SecretUrl, Settings, Text


class WebhookSettings(Settings, frozen=True):
    """The receiver of alerts: CloudEvents, signed with the secret in a file."""

    url: SecretUrl
    secret_file: FilePath
    ca_file: FilePath | None = None
    timeout_seconds: CallSeconds = 5.0


class AlertsSettings(Settings, frozen=True):
    """Where ``system.health`` alerts go, besides the log and the metrics."""

    webhook: WebhookSettings | None = None


class Log(Settings, frozen=True):
    """The process's own log: JSON lines on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Tracing(Settings, frozen=True):
    """Traces of Checks, continued from Envoy's: OTLP over HTTP with protobuf.

    ``headers_file`` has the headers that the collector asks for, one a line, with their secrets.
    """

    url: SecretUrl
    headers_file: FilePath | None = None
    ca_file: FilePath | None = None
    timeout_seconds: CallSeconds = 5.0
    service_name: Text = "septem-sidecar"
    sample_ratio: Annotated[float, Meta(ge=0, le=1)] = 0.0
    max_spans_per_second: Annotated[int, Meta(ge=1, le=100_000)] = 500
    queue_spans: Annotated[int, Meta(ge=64, le=65_536)] = 4096
