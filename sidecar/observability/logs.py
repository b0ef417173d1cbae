"""The process's log: JSON lines on standard error, redacted, without blocking other threads.

A separate thread formats and writes. The standard library's ``QueueListener`` waits forever on
stop when a pipe is not read, and a ``StreamHandler`` holds locks that the interpreter needs at
exit. So the thread writes to the descriptor without a lock, and ``close`` has a time-out.
"""

import contextlib
import logging
import logging.handlers
import queue
import threading
import traceback
from datetime import UTC, datetime
from functools import partial
from typing import Any, TextIO

import msgspec

from sidecar.common.printable import escape_json
from sidecar.common.redact import redact
from sidecar.observability.audit.sinks import write_all

QUEUE_RECORDS = 4096
CLOSE_SECONDS = 2.0
_MAX_MESSAGE = 2048
_MAX_FIELD = 256
_MAX_TRACEBACK = 4096
_FRAMES = 8
_STDERR = 2
_FIELDS = ("state", "name_of", "listener", "issuer", "certificate", "seconds", "count", "signal")
"""The extra fields a message may have; others are omitted."""

_encoder = msgspec.json.Encoder()


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON, masking whatever looks like a credential."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _clean(_message(record), _MAX_MESSAGE),
        }
        for name in _FIELDS:
            if (value := record.__dict__.get(name)) is not None:
                known = isinstance(value, int | float)
                line[name] = value if known else _clean(str(value), _MAX_FIELD)
        if record.exc_info and (exc := record.exc_info[1]) is not None:
            line["exception"] = type(exc).__name__
            line["exception_message"] = _clean(str(exc), _MAX_FIELD)
            text = "".join(traceback.format_exception(exc, limit=-_FRAMES))
            line["traceback"] = _clean(text, _MAX_TRACEBACK)
        return escape_json(_encoder.encode(line)).decode("utf-8")


def _message(record: logging.LogRecord) -> str:
    """Return the text, even if its arguments do not match its placeholders."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, LookupError):
        return f"{record.msg} [its arguments do not fit]"


def _clean(text: str, max_length: int) -> str:
    """Mask credentials and bound the length; lone surrogates, invalid in UTF-8, are escaped."""
    return redact(text.encode("utf-8", "backslashreplace").decode("utf-8"), max_length)


class _BoundedQueueHandler(logging.handlers.QueueHandler):
    """Passes records to another thread; a full queue drops and counts them."""

    dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class LogOutput:
    """The running output of the log; made and closed by the runtime.

    Lines go to standard error, or to ``stream`` where one is given. ``descriptor`` is standard
    error's, where that is not the number 2.
    """

    def __init__(
        self, level: str, stream: TextIO | None = None, *, descriptor: int = _STDERR
    ) -> None:
        self._write = partial(_write_to, descriptor) if stream is None else stream.write
        self._formatter = JsonFormatter()
        self._records: queue.Queue[logging.LogRecord | None] = queue.Queue(QUEUE_RECORDS)
        self._handler = _BoundedQueueHandler(self._records)
        self._lost = 0
        self._closing = False
        root = logging.getLogger()
        root.setLevel(level.upper())
        root.handlers[:] = [self._handler]
        for noisy in ("urllib3", "hvac", "asyncio"):
            logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
        logging.raiseExceptions = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Records that were dropped from a full queue, or could not be written."""
        return self._handler.dropped + self._lost

    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> bool:
        """Detach from the root logger and write what is queued; False if that took too long."""
        logging.getLogger().handlers[:] = []
        self._closing = True
        # With a full queue the thread is running, or blocked in a write.
        with contextlib.suppress(queue.Full):
            self._records.put_nowait(None)
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not (self._closing and self._records.empty()):
            record = self._records.get()
            if record is None:
                continue
            try:
                self._write(self._formatter.format(record) + "\n")
            except Exception:  # noqa: BLE001 - the thread's edge; the log can't log its own failure
                self._lost += 1


def _write_to(descriptor: int, line: str) -> None:
    write_all(descriptor, line.encode("utf-8"))
