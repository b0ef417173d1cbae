"""A worker's spans: sent to the main process, which alone may reach a collector."""

from collections.abc import Callable

from sidecar.observability.tracing.tracer import SpanQueue
from sidecar.runtime.workers.frames import MAX_SPANS, Spans

SEND_SECONDS = 0.25
MAX_UNSENT_BYTES = 1_048_576
"""While the main process has so much to read, spans wait in the queue, which is bounded."""


class SpanSender:
    """Sends what is queued every ``SEND_SECONDS``, on the event loop.

    ``schedule`` calls a function after so many seconds; ``unsent_bytes`` says how much the other
    end has not read yet.
    """

    def __init__(
        self,
        queue: SpanQueue,
        send: Callable[[Spans], None],
        unsent_bytes: Callable[[], int],
        schedule: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._queue = queue
        self._send = send
        self._unsent_bytes = unsent_bytes
        self._schedule = schedule

    def start(self) -> None:
        """Send from now on."""
        self._schedule(SEND_SECONDS, self._turn)

    def _turn(self) -> None:
        self.send()
        self._schedule(SEND_SECONDS, self._turn)

    def send(self) -> None:
        """Send what is queued, unless too much is unsent."""
        while self._queue and self._unsent_bytes() <= MAX_UNSENT_BYTES:
            self._send(Spans(tuple(self._queue.take(MAX_SPANS))))
