"""Opens the sink that the settings name, with its credential."""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from sidecar.config import model
from sidecar.observability.audit.clickhouse import ClickHouseSink
from sidecar.observability.audit.delivery import BatchBounds
from sidecar.observability.audit.otlp import OtlpSink
from sidecar.observability.audit.secrets import FileSecret, VaultSecret
from sidecar.observability.audit.sinks import DescriptorSink, FileSink, Sink

_KAFKA = "sidecar.observability.audit.kafka"
"""Imported where it is configured: it brings librdkafka, an extra."""
_KAFKA_BATCH_BYTES = 4_194_304


class OpenedSink(NamedTuple):
    """A sink, and what reads its credential where that is in Vault."""

    sink: Sink
    bounds: BatchBounds
    secret: VaultSecret | None = None


def open_sink(settings: model.AuditSink) -> OpenedSink:
    """Open a sink. Raises ``AuditFault``."""
    match settings:
        case model.StdoutAudit():
            return OpenedSink(DescriptorSink(), BatchBounds())
        case model.FileAudit(path=path, max_bytes=max_bytes, keep=keep):
            return OpenedSink(FileSink(Path(path), max_bytes=max_bytes, keep=keep), BatchBounds())
        case model.OtlpAudit():
            return OpenedSink(OtlpSink(settings, version("septem-sidecar")), BatchBounds())
        case model.ClickHouseAudit():
            password, secret = _password(settings.password, settings.name)
            bounds = BatchBounds(settings.batch_lines, settings.batch_bytes, settings.batch_seconds)
            return OpenedSink(ClickHouseSink(settings, password), bounds, secret)
        case model.KafkaAudit():
            sasl = settings.sasl
            password, secret = _password(None if sasl is None else sasl.password, settings.name)
            bounds = BatchBounds(settings.batch_lines, _KAFKA_BATCH_BYTES, settings.batch_seconds)
            sink: Sink = import_module(_KAFKA).KafkaSink(settings, password)
            return OpenedSink(sink, bounds, secret)


def _password(
    settings: model.SecretFile | model.SecretEntry | None, sink: str
) -> tuple[Callable[[], str] | None, VaultSecret | None]:
    match settings:
        case None:
            return None, None
        case model.SecretFile(path=path):
            return FileSecret(path), None
        case model.SecretEntry():
            secret = VaultSecret(settings, sink)
            return secret, secret
