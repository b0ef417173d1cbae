"""The audit log: one line a decision, and no Check waits for it (SECURITY-MODEL §10).

``otlp`` is not among the names here: it brings an HTTP client, which a worker does not need.
"""

from sidecar.observability.audit.entry import AuditEntry, encode_entry
from sidecar.observability.audit.log import AuditLog
from sidecar.observability.audit.sinks import (
    AuditFault,
    DescriptorSink,
    FileSink,
    PartialWriteError,
    Sink,
)

__all__ = [
    "AuditEntry",
    "AuditFault",
    "AuditLog",
    "DescriptorSink",
    "FileSink",
    "PartialWriteError",
    "Sink",
    "encode_entry",
]
