"""The settings of the audit log: where its lines go, and the spool in front of the network."""

from typing import Annotated, Literal

from msgspec import Meta

from sidecar.config.base import (
    CallSeconds,
    FilePath,
    Label,
    RotatedFile,
    SecretUrl,
    Settings,
    Text,
    VaultName,
    VaultPath,
    text,
)

_Identifier = Annotated[
    str,
    text(
        r"^[A-Za-z_][A-Za-z0-9_]{0,127}$",
        "a name of letters, digits and _, that does not begin with a digit",
        128,
    ),
]
_Broker = Annotated[
    str,
    text(r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$", "host:port or [IPv6]:port", 280),
]
_Topic = Annotated[
    str, text(r"^[A-Za-z0-9._-]{1,249}$", "a topic's name of letters, digits, ., _ and -", 249)
]
BatchLines = Annotated[int, Meta(ge=1, le=1_000_000)]
BatchSeconds = Annotated[float, Meta(ge=0, le=60)]


class SecretFile(Settings, frozen=True, tag_field="source", tag="file"):
    """A secret in a file, read again for each batch; a line end after it is not part of it."""

    path: FilePath


class SecretEntry(Settings, frozen=True, tag_field="source", tag="vault_kv"):
    """A secret in a field of an entry of Vault KV v2, read again every ``poll_seconds``."""

    path: VaultPath
    mount: VaultPath = "secret"
    field: Text = "value"
    poll_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 60.0


class StdoutAudit(Settings, frozen=True, tag_field="sink", tag="stdout"):
    """Audit lines on standard output."""

    @property
    def name(self) -> str:
        """By which it is known; there is one at most."""
        return "stdout"


class FileAudit(RotatedFile, frozen=True, tag_field="sink", tag="file"):
    """Audit lines appended to a file, which is rotated."""

    name: Label = "file"


class OtlpAudit(Settings, frozen=True, tag_field="sink", tag="otlp"):
    """Audit lines as OpenTelemetry logs, OTLP over HTTP with JSON."""

    url: SecretUrl
    name: Label = "otlp"
    ca_file: FilePath | None = None
    timeout_seconds: CallSeconds = 5.0


class ClickHouseAudit(Settings, frozen=True, tag_field="sink", tag="clickhouse"):
    """Audit lines as rows of a table of ClickHouse, in batches over HTTP."""

    url: SecretUrl
    name: Label = "clickhouse"
    database: _Identifier = "septem"
    table: _Identifier = "audit"
    user: Text = "default"
    password: SecretFile | SecretEntry | None = None
    ca_file: FilePath | None = None
    certificate_file: FilePath | None = None
    key_file: FilePath | None = None
    compression: Literal["gzip", "none"] = "gzip"
    batch_lines: BatchLines = 20_000
    batch_bytes: Annotated[int, Meta(ge=65_536, le=67_108_864)] = 8_388_608
    batch_seconds: BatchSeconds = 1.0
    timeout_seconds: CallSeconds = 15.0


class KafkaSasl(Settings, frozen=True):
    """How the sidecar says who it is to the brokers."""

    username: Text
    password: SecretFile | SecretEntry
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"


class KafkaAudit(Settings, frozen=True, tag_field="sink", tag="kafka"):
    """Audit lines as messages of a topic of Kafka; the extra ``septem-sidecar[kafka]``."""

    brokers: Annotated[tuple[_Broker, ...], Meta(min_length=1, max_length=32)]
    topic: _Topic
    name: Label = "kafka"
    tls: bool = True
    ca_file: FilePath | None = None
    certificate_file: FilePath | None = None
    key_file: FilePath | None = None
    sasl: KafkaSasl | None = None
    compression: Literal["zstd", "lz4", "gzip", "none"] = "zstd"
    batch_lines: BatchLines = 5000
    batch_seconds: BatchSeconds = 0.2
    timeout_seconds: CallSeconds = 30.0


NETWORK_SINKS = (OtlpAudit, ClickHouseAudit, KafkaAudit)
"""The sinks that lie across a network, which the spool stands in front of."""
NetworkAudit = OtlpAudit | ClickHouseAudit | KafkaAudit
AuditSink = StdoutAudit | FileAudit | OtlpAudit | ClickHouseAudit | KafkaAudit


class TransitSpoolKey(Settings, frozen=True, tag_field="source", tag="vault_transit"):
    """A data key of each process, made and wrapped by a key of Vault transit."""

    name: VaultName
    mount: VaultPath = "transit"


class KvSpoolKey(Settings, frozen=True, tag_field="source", tag="vault_kv"):
    """A key of 32 bytes, in base64, in a field of an entry of Vault KV v2."""

    path: VaultPath
    mount: VaultPath = "secret"
    field: Text = "value"


class AuditSpool(Settings, frozen=True):
    """A queue on disk in front of the sinks that are across a network, encrypted and bounded."""

    folder: FilePath
    key: TransitSpoolKey | KvSpoolKey
    max_bytes: Annotated[int, Meta(ge=16_777_216, le=1_099_511_627_776)] = 2_147_483_648


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

    to: (
        StdoutAudit
        | FileAudit
        | OtlpAudit
        | ClickHouseAudit
        | KafkaAudit
        | Annotated[tuple[AuditSink, ...], Meta(min_length=1, max_length=8)]
    ) = StdoutAudit()
    spool: AuditSpool | None = None
    chain: bool = True
    checkpoints: CheckpointSettings | None = None
    pseudonyms: PseudonymSettings | None = None
    sample_allowed: Annotated[float, Meta(ge=0, le=1)] = 1.0
    record_inputs: bool = False
    queue_lines: Annotated[int, Meta(ge=16, le=1_048_576)] = 16_384
    queue_bytes: Annotated[int, Meta(ge=1_048_576, le=4_294_967_296)] = 67_108_864

    @property
    def sinks(self) -> tuple[AuditSink, ...]:
        """The sinks, whether one is written or a list."""
        return self.to if isinstance(self.to, tuple) else (self.to,)
