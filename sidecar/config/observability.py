"""The settings of what the sidecar says of itself: alerts, the audit log, its own log."""

from typing import Annotated, Literal

from msgspec import Meta

from sidecar.config.base import (
    CallSeconds,
    FilePath,
    RotatedFile,
    SecretUrl,
    Settings,
    Text,
    VaultName,
    VaultPath,
)


class WebhookSettings(Settings, frozen=True):
    """The receiver of alerts: CloudEvents, signed with the secret in a file."""

    url: SecretUrl
    secret_file: FilePath
    ca_file: FilePath | None = None
    timeout_seconds: CallSeconds = 5.0


class AlertsSettings(Settings, frozen=True):
    """Where ``system.health`` alerts go, besides the log and the metrics."""

    webhook: WebhookSettings | None = None


class StdoutAudit(Settings, frozen=True, tag_field="sink", tag="stdout"):
    """Audit lines on standard output."""


class FileAudit(RotatedFile, frozen=True, tag_field="sink", tag="file"):
    """Audit lines appended to a file, which is rotated."""


class OtlpAudit(Settings, frozen=True, tag_field="sink", tag="otlp"):
    """Audit lines as OpenTelemetry logs, OTLP over HTTP with JSON."""

    url: SecretUrl
    ca_file: FilePath | None = None
    timeout_seconds: CallSeconds = 5.0


class CheckpointSettings(Settings, frozen=True):
    """Signed checkpoints of the audit trail: an Ed25519 key of Vault's transit engine."""

    key: VaultName
    mount: VaultPath = "transit"
    seconds: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    file: FilePath | None = None


class PseudonymSettings(Settings, frozen=True):
    """Pseudonyms for subjects and addresses in audit lines: entries of Vault KV v2."""

    path: VaultPath
    mount: VaultPath = "secret"
    poll_seconds: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    address_days: Annotated[int, Meta(ge=1, le=3650)] = 30


class Audit(Settings, frozen=True):
    """Where decisions are recorded. A Check never waits for it: a full queue drops and counts."""

    to: StdoutAudit | FileAudit | OtlpAudit = StdoutAudit()
    chain: bool = True
    checkpoints: CheckpointSettings | None = None
    pseudonyms: PseudonymSettings | None = None
    sample_allowed: Annotated[float, Meta(ge=0, le=1)] = 1.0
    record_inputs: bool = False
    queue_lines: Annotated[int, Meta(ge=16, le=1_048_576)] = 16_384
    queue_bytes: Annotated[int, Meta(ge=1_048_576, le=4_294_967_296)] = 67_108_864


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
