"""The process's own log: JSON lines on standard error, redacted, and never in anyone's way."""

import logging
import logging.handlers
import queue
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from sidecar.redact import redact

QUEUE_RECORDS = 4096
_MAX_MESSAGE = 2048
_MAX_TRACEBACK = 4096
_FIELDS = ("state", "name_of", "listener", "issuer", "certificate", "seconds", "count", "signal")
"""What a message may carry beside its text; anything else is left out."""

_encoder = msgspec.json.Encoder()


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON, masking whatever looks like a credential."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage(), _MAX_MESSAGE),
        }
        for name in _FIELDS:
            if (value := record.__dict__.get(name)) is not None:
                line[name] = redact(value, 256) if isinstance(value, str) else value
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = type(record.exc_info[1]).__name__
            text = "".join(traceback.format_exception(record.exc_info[1], limit=-8))
            line["traceback"] = redact(text, _MAX_TRACEBACK)
        return _encoder.encode(line).decode("utf-8")


class _BoundedQueueHandler(logging.handlers.QueueHandler):
    """Hands records to another thread; a full queue drops them and counts."""

    dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class LogOutput:
    """The running output of the log; made and closed by the runtime."""

    def __init__(self, level: str, stream: TextIO = sys.stderr) -> None:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(JsonFormatter())
        records: queue.Queue[logging.LogRecord] = queue.Queue(QUEUE_RECORDS)
        self._handler = _BoundedQueueHandler(records)
        self._listener = logging.handlers.QueueListener(records, handler)
        root = logging.getLogger()
        root.setLevel(level.upper())
        root.handlers[:] = [self._handler]
        for noisy in ("urllib3", "hvac", "asyncio"):
            logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
        logging.raiseExceptions = False
        self._listener.start()

    @property
    def dropped(self) -> int:
        """Records that found the queue full."""
        return self._handler.dropped

    def close(self) -> None:
        """Write what is queued and let go of the root logger."""
        logging.getLogger().handlers[:] = []
        self._listener.stop()
