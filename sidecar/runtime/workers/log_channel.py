"""A worker's log: its records go through the channel into the main process's log."""

import asyncio
import contextlib
import logging
import traceback
from typing import cast

from sidecar.common.clock import monotonic_seconds
from sidecar.common.token_bucket import TokenBucket
from sidecar.runtime.workers.channel import Channel
from sidecar.runtime.workers.frames import MAX_TEXT, LogLevel, LogLine
from sidecar.runtime.workers.watch import LOG_LINES_BURST, LOG_LINES_PER_SECOND

_FRAMES = 8
"""Of a traceback."""


class ChannelHandler(logging.Handler):
    """Sends records to the main process's log, from any thread."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._bucket = TokenBucket(
            LOG_LINES_PER_SECOND / 2, LOG_LINES_BURST / 2, monotonic_seconds()
        )
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, with the end of its traceback; drop it above the permitted rate."""
        text = record.getMessage()
        if record.exc_info and (exc := record.exc_info[1]) is not None:
            text += ": " + "".join(traceback.format_exception(exc, limit=-_FRAMES))
        if not self._bucket.take(monotonic_seconds()):
            return  # WorkerWatch would treat more as the flood of a compromised worker
        level = max(logging.DEBUG, min(record.levelno, logging.CRITICAL)) // 10 * 10
        line = LogLine(cast("LogLevel", level), text[:MAX_TEXT])
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._channel.send, line)


def log_to(channel: Channel) -> None:
    """Send everything that is logged from now on through the channel, and nowhere else."""
    logging.raiseExceptions = False
    logging.getLogger().handlers[:] = [ChannelHandler(channel)]
