"""One line a decision, written without ever making a Check wait (SECURITY-MODEL §10)."""

from sidecar.audit.entry import AuditEntry, encode_entry
from sidecar.audit.log import AuditLog
from sidecar.audit.otlp import OtlpSink
from sidecar.audit.sinks import AuditFault, CutShort, DescriptorSink, FileSink, Sink

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
