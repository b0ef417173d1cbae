"""What libraries write to standard error, as lines of the log.

grpcio's core, the C library and the interpreter itself write there without asking: text in a log
of JSON, which no collector parses. So standard error becomes a pipe of this process, a thread
logs each line that comes through it, and the log has the real one to itself.

A process that crashes takes the pipe and the thread with it. So the interpreter writes where it
crashed to the real one (``faulthandler``).
"""

import contextlib
import faulthandler
import fcntl
import logging
import os
import re
import threading
from typing import Final

CLOSE_SECONDS = 1.0
MAX_LINE_BYTES = 8192
_STDERR: Final = 2
_PIPE_BYTES = 262_144
_READ_BYTES = 65_536
_GRPC = re.compile(rb"([IWEF])\d{4} [\d:.]+ +\d+ ([\w.]+:\d+)\] (.*)", re.DOTALL)
"""A line of absl's, which grpcio's core logs with: level and date, time, thread, place, text."""
_LEVELS = {b"I": logging.INFO, b"W": logging.WARNING, b"E": logging.ERROR, b"F": logging.CRITICAL}

_log = logging.getLogger("stderr")
_grpc_log = logging.getLogger("grpc")


class ForeignLines:
    """Logs what is written to standard error; ``descriptor`` is the real one, for the log."""

    def __init__(self) -> None:
        self.descriptor = _STDERR
        self._end = -1
        self._rest = b""
        self._thread = threading.Thread(target=self._run, name="stderr", daemon=True)

    def start(self) -> None:
        """Begin. If the system has no descriptor left, standard error stays as it is."""
        try:
            real = fcntl.fcntl(_STDERR, fcntl.F_DUPFD_CLOEXEC, _STDERR + 1)
            self._end, other = os.pipe2(os.O_CLOEXEC)
        except OSError as exc:
            _log.warning("what libraries write to standard error is not logged: %s", exc.strerror)
            return
        with contextlib.suppress(OSError):
            fcntl.fcntl(other, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self.descriptor = real
        os.dup2(other, _STDERR, inheritable=True)
        os.close(other)
        faulthandler.enable(file=real)
        self._thread.start()

    def close(self) -> None:
        """Give standard error back, and log what was written until now."""
        if self._end < 0:
            return
        os.dup2(self.descriptor, _STDERR, inheritable=True)  # the pipe's last other end is closed
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while data := os.read(self._end, _READ_BYTES):
            *lines, self._rest = (self._rest + data).split(b"\n")
            if len(self._rest) > MAX_LINE_BYTES:
                lines.append(self._rest)
                self._rest = b""
            for line in lines:
                log_line(line)
        log_line(self._rest)


def log_line(line: bytes) -> None:
    """Log one line: grpcio's with its level, any other as a warning; an empty one not at all."""
    line = line[:MAX_LINE_BYTES].rstrip()
    if not line:
        return
    if (known := _GRPC.fullmatch(line)) is not None:
        level, place, text = known.groups()
        _grpc_log.log(_LEVELS[level], "%s (%s)", _text(text), _text(place))
    else:
        _log.warning("%s", _text(line))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
