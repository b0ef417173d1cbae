"""One line a decision, written without ever making a Check wait (SECURITY-MODEL §10).

``record`` appends to a bounded queue; a thread of its own encodes and writes, because
writing to a pipe nobody reads, or to a disk that is gone, blocks. When the queue is full
a line is dropped and counted, and the count is a metric: silence would be worse.
"""

import contextlib
import os
import stat
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from sidecar.errors import Fault
from sidecar.redact import redact

_POLL_SECONDS = 0.1
_RETRY_SECONDS = 1.0
_BATCH_LINES = 512
_STDOUT = 1


class AuditFault(Fault):
    """The audit log can't be opened."""


class AuditEntry(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The fields of a line, and no others: what is not here is not recorded.

    Texts that a client chose are redacted when the line is encoded.
    """

    at: float
    decision_id: str
    outcome: str
    reason: str
    status: int
    route: str
    latency_us: int
    method: str = ""
    host: str = ""
    path: str = ""
    tenant: str = ""
    subject: str = ""
    kid: str = ""
    token_id: str = ""
    source: str = ""
    principal: str = ""
    detail: str = ""
    key_state: str = ""


class _Line(msgspec.Struct, omit_defaults=True):
    """How an entry is written. The order of the fields is that of the line."""

    time: str
    decision_id: str
    outcome: str
    reason: str
    status: int
    route: str
    tenant: str = ""
    subject: str = ""
    method: str = ""
    host: str = ""
    path: str = ""
    source: str = ""
    principal: str = ""
    kid: str = ""
    token_id: str = ""
    detail: str = ""
    key_state: str = ""
    latency_us: int = 0


_encoder = msgspec.json.Encoder()


def encode_entry(entry: AuditEntry) -> bytes:
    """Write one entry as one line of JSON."""
    line = _Line(
        time=datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds"),
        decision_id=entry.decision_id,
        outcome=entry.outcome,
        reason=entry.reason,
        status=entry.status,
        route=entry.route,
        tenant=entry.tenant,
        subject=redact(entry.subject, 256),
        method=entry.method,
        host=entry.host,
        path=redact(entry.path),
        source=redact(entry.source, 64),
        principal=redact(entry.principal, 256),
        kid=redact(entry.kid, 256),
        token_id=redact(entry.token_id, 256),
        detail=redact(entry.detail, 256),
        key_state=entry.key_state,
        latency_us=entry.latency_us,
    )
    return _encoder.encode(line) + b"\n"


class Sink(Protocol):
    """Where lines go. Called from the writing thread alone."""

    def write(self, lines: bytes) -> None:
        """Write whole lines; raises ``OSError``."""

    def reopen(self) -> None:
        """Let go of a file that was rotated away and open it anew."""

    def close(self) -> None:
        """Close."""


class DescriptorSink:
    """An open file descriptor, such as standard output."""

    def __init__(self, descriptor: int = _STDOUT) -> None:
        self._descriptor = descriptor

    def write(self, lines: bytes) -> None:
        """Write all of it."""
        _write_all(self._descriptor, lines)

    def reopen(self) -> None:
        """Nothing to reopen."""

    def close(self) -> None:
        """Leave it open: it is not ours."""


class FileSink:
    """A file of our own, only appended to, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = self._open()
        except OSError as exc:
            raise AuditFault(f"the audit log {path} can't be opened: {exc.strerror}") from exc

    def write(self, lines: bytes) -> None:
        """Append all of it; after a failure the file is opened anew."""
        if self._descriptor < 0:
            self._descriptor = self._open()
        try:
            _write_all(self._descriptor, lines)
        except OSError:
            self.close()
            raise

    def reopen(self) -> None:
        """Open the path anew: what logrotate moved away is let go."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags | os.O_NONBLOCK, 0o600)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(0, "it is no regular file")
        return descriptor


class AuditLog:
    """The queue and its thread. ``record`` is for the event loop; it never waits or raises."""

    def __init__(
        self, sink: Sink, *, queue_lines: int, on_error: Callable[[OSError], None]
    ) -> None:
        self.written = 0
        self.dropped = 0
        self.errors = 0
        self._sink = sink
        self._queue: deque[AuditEntry] = deque()
        self._queue_lines = queue_lines
        self._on_error = on_error
        self._wake = threading.Event()
        self._closing = False
        self._reopen = False
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Lines that wait to be written."""
        return len(self._queue)

    def record(self, entry: AuditEntry) -> None:
        """Queue one entry, or count it as dropped."""
        if len(self._queue) >= self._queue_lines:
            self.dropped += 1
        else:
            self._queue.append(entry)

    def reopen(self) -> None:
        """Have the file opened anew before the next write."""
        self._reopen = True
        self._wake.set()

    def close(self, timeout_seconds: float) -> bool:
        """Write what is queued and stop; False if the sink did not take it all in time."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive() and not self._queue

    def _run(self) -> None:
        pending: bytes = b""
        count = 0
        while True:
            if self._reopen:
                self._reopen = False
                self._sink.reopen()
            if not pending:
                pending, count = self._take()
            if not pending:
                if self._closing:
                    break
                self._wake.wait(_POLL_SECONDS)
                self._wake.clear()
                continue
            try:
                self._sink.write(pending)
            except OSError as exc:
                self.errors += 1
                self._on_error(exc)
                if self._closing:
                    break
                self._wake.wait(_RETRY_SECONDS)
                self._wake.clear()
            else:
                self.written += count
                pending = b""
        with contextlib.suppress(OSError):
            self._sink.close()

    def _take(self) -> tuple[bytes, int]:
        lines: list[bytes] = []
        while self._queue and len(lines) < _BATCH_LINES:
            lines.append(encode_entry(self._queue.popleft()))
        return b"".join(lines), len(lines)


def _write_all(descriptor: int, lines: bytes) -> None:
    view = memoryview(lines)
    while view:
        view = view[os.write(descriptor, view) :]
