"""Exports spans from a thread of its own. Whatever a collector does, no Check waits for it.

A batch that may be sent again is kept for ``MAX_ATTEMPTS``; meanwhile the queue fills, and what
has no place there is counted as dropped.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from requests.exceptions import RequestException

from sidecar.common.errors import Fault
from sidecar.observability.tracing.tracer import SpanLoss, SpanQueue, SpanRecord, count_loss
from workload.backoff import Backoff

BATCH_SPANS = 512
LINGER_SECONDS = 1.0
"""How long spans wait for others to be sent with."""
MAX_ATTEMPTS = 5

_RETRIES = Backoff(1.0, 30.0)

_log = logging.getLogger("sidecar")


class RetryLaterError(Exception):
    """The collector did not take a batch, and it may be sent again after so many seconds."""

    def __init__(self, why: str, seconds: float = 0.0) -> None:
        super().__init__(why)
        self.seconds = seconds


class CollectorRefusesError(Exception):
    """The collector does not take a batch, and would not take it again."""


class Collector(Protocol):
    """Where spans go; ``otlp.OtlpCollector`` is one."""

    def send(self, records: Sequence[SpanRecord]) -> int:
        """Send a batch; return how many of its spans were rejected. See ``OtlpCollector``."""

    def close(self) -> None:
        """Close the connections."""


class SpanExporter:
    """The exporting thread. ``exported`` counts spans, ``failures`` batches not taken."""

    def __init__(
        self,
        queue: SpanQueue,
        collector: Collector,
        *,
        jitter: Callable[[], float],
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._queue = queue
        self._collector = collector
        self._jitter = jitter
        self._linger_seconds = linger_seconds
        self._wake, self._stop = threading.Event(), threading.Event()
        self._was_failing = False
        self.exported = 0
        self.failures = 0
        queue.on_half_full = self._wake.set
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def close(self, timeout_seconds: float) -> bool:
        """Send what is queued, once, and stop; return whether that ended in time."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            return False
        self._collector.close()
        return True

    def _run(self) -> None:
        while not self._stop.is_set() or self._queue:
            if not self._stop.is_set():
                self._wake.wait(self._linger_seconds)
                self._wake.clear()
            while batch := self._queue.take(BATCH_SPANS):
                self._export(batch)

    def _export(self, batch: Sequence[SpanRecord]) -> None:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                rejected = self._collector.send(batch)
            except CollectorRefusesError as exc:
                self._lose(batch, "refused", str(exc))
                return
            except RetryLaterError as exc:
                why, seconds = str(exc), exc.seconds
            except Fault as exc:
                why, seconds = str(exc), 0.0
            except RequestException as exc:
                why, seconds = f"the collector can't be reached ({type(exc).__name__})", 0.0
            except Exception as exc:  # noqa: BLE001 - the thread's edge: it goes on with the next batch
                _log.error("internal error (a bug in the sidecar): spans are lost", exc_info=exc)
                self._lose(batch, "refused", "")
                return
            else:
                self._taken(len(batch), rejected)
                return
            self._note(why)
            if attempt == MAX_ATTEMPTS or self._stop.is_set():
                break
            # Not for ``_wake``: a queue that fills ends no pause.
            self._stop.wait(_RETRIES.pause_seconds(attempt, self._jitter(), seconds))
        self._lose(batch, "unreachable", "")

    def _taken(self, spans: int, rejected: int) -> None:
        self.exported += spans - rejected
        if rejected:
            count_loss(self._queue.dropped, "refused", rejected)
        if self._was_failing:
            self._was_failing = False
            _log.info("spans are exported again")

    def _lose(self, batch: Sequence[SpanRecord], loss: SpanLoss, why: str) -> None:
        count_loss(self._queue.dropped, loss, len(batch))
        if why:
            self._note(why)

    def _note(self, why: str) -> None:
        """Count a batch that was not taken; the first in a row is logged."""
        self.failures += 1
        if not self._was_failing:
            self._was_failing = True
            _log.warning("spans are not exported: %s", why)
