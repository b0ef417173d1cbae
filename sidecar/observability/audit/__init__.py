"""The audit log: one line a decision, and no Check waits for it (SECURITY-MODEL §10)."""

from sidecar.observability.audit.entry import AuditEntry, encode_entry
from sidecar.observability.audit.log import AuditLog
from sidecar.observability.audit.otlp import OtlpSink
from sidecar.observability.audit.sinks import AuditFault, CutShort, DescriptorSink, FileSink, Sink

__all__ = [
    "AuditEntry",
    "AuditFault",
    "AuditLog",
    "CutShort",
    "DescriptorSink",
    "FileSink",
    "OtlpSink",
    "Sink",
    "encode_entry",
]
