"""The exporting thread: what it sends, keeps, gives up, and that nobody waits for it."""

import logging
import threading
from collections.abc import Callable, Sequence

import pytest
import requests

from sidecar.common.errors import Fault
from sidecar.observability.tracing.exporter import (
    BATCH_SPANS,
    MAX_ATTEMPTS,
    CollectorRefusesError,
    RetryLaterError,
    SpanExporter,
)
from sidecar.observability.tracing.tracer import SpanQueue, SpanRecord
from tests.observability.tracing.test_tracer import RECORD
from tests.support.waiting import wait_until


class Collected:
    """A collector in memory. ``problems`` are raised in their order before it takes anything."""

    def __init__(self, *problems: Exception) -> None:
        self.problems = list(problems)
        self.batches: list[int] = []
        self.attempts = self.rejects = 0
        self.is_closed = False
        self.gate = threading.Event()
        self.gate.set()

    def send(self, records: Sequence[SpanRecord]) -> int:
        self.attempts += 1
        self.gate.wait(20)
        if self.problems:
            raise self.problems.pop(0)
        self.batches.append(len(records))
        return self.rejects

    def close(self) -> None:
        self.is_closed = True


def exporting(
    collected: Collected, size: int = 4096, linger: float = 0.01
) -> tuple[SpanQueue, SpanExporter]:
    queue = SpanQueue(size, {})
    # Jitter of all of a pause, five times over: no test waits for one.
    return queue, SpanExporter(queue, collected, jitter=lambda: 5.0, linger_seconds=linger)


def test_spans_are_sent_in_batches_and_the_rest_at_the_end() -> None:
    collected = Collected()
    collected.rejects = 1
    queue, exporter = exporting(collected, linger=60)
    queue.put_all([RECORD] * 3)
    assert not collected.attempts, "they wait for others"
    assert exporter.close(10)
    assert (collected.batches, collected.is_closed) == ([3], True)
    assert (exporter.exported, queue.dropped) == (2, {"refused": 1})


def test_a_queue_that_is_half_full_is_not_waited_for() -> None:
    collected = Collected()
    queue, exporter = exporting(collected, size=4 * BATCH_SPANS, linger=60)
    queue.put_all([RECORD] * (2 * BATCH_SPANS + 1))
    wait_until(lambda: sum(collected.batches) == 2 * BATCH_SPANS + 1)
    assert collected.batches == [BATCH_SPANS, BATCH_SPANS, 1]
    assert exporter.close(10)


PASSING: list[tuple[str, Callable[[], Exception]]] = [
    ("asked to come again", lambda: RetryLaterError("the collector answers 503")),
    ("not reached", lambda: requests.exceptions.ConnectionError("refused: s3cret")),
    ("too slow", lambda: requests.exceptions.ReadTimeout("s3cret")),
    ("no headers", lambda: Fault("the file is away")),
]


@pytest.mark.parametrize("problem", [row[1] for row in PASSING], ids=[r[0] for r in PASSING])
def test_a_batch_is_sent_again(
    problem: Callable[[], Exception], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    collected = Collected(problem(), problem())
    queue, exporter = exporting(collected)
    queue.put(RECORD)
    wait_until(lambda: exporter.exported == 1)
    assert (collected.attempts, exporter.failures, queue.dropped) == (3, 2, {})
    assert exporter.close(10)
    said = [each.message for each in caplog.records]
    assert len(said) == 2, "one line for the first failure in a row, one for its end"
    assert said[0].startswith("spans are not exported: ")
    assert said[1] == "spans are exported again"
    assert "s3cret" not in "".join(said)


def test_a_batch_is_given_up_after_some_attempts() -> None:
    collected = Collected(*(RetryLaterError("503") for _ in range(MAX_ATTEMPTS)))
    queue, exporter = exporting(collected)
    queue.put_all([RECORD] * 2)
    wait_until(lambda: queue.dropped == {"unreachable": 2})
    queue.put(RECORD)
    wait_until(lambda: exporter.exported == 1)
    assert exporter.close(10)


@pytest.mark.parametrize(
    "problem", [CollectorRefusesError("400"), ZeroDivisionError()], ids=["refused", "a defect"]
)
def test_what_would_be_refused_again_is_not_sent_again(problem: Exception) -> None:
    collected = Collected(problem)
    queue, exporter = exporting(collected)
    queue.put(RECORD)
    wait_until(lambda: queue.dropped == {"refused": 1})
    queue.put(RECORD)
    wait_until(lambda: exporter.exported == 1)
    assert collected.attempts == 2
    assert exporter.close(10)


def test_a_collector_that_hangs_holds_up_nobody() -> None:
    collected = Collected()
    collected.gate.clear()
    queue, exporter = exporting(collected, size=64)
    queue.put(RECORD)
    wait_until(lambda: collected.attempts == 1)
    queue.put_all([RECORD] * 100)  # at once: it is a queue, and full
    assert queue.dropped == {"queue": 36}
    assert not exporter.close(0.05), "it says that spans are lost"
    collected.gate.set()
    assert exporter.close(10)
    assert sum(collected.batches) == 65


def test_the_end_is_not_held_up_by_a_pause() -> None:
    queue = SpanQueue(8, {})
    collected = Collected(RetryLaterError("503", 60), RetryLaterError("503", 60))
    pauses = threading.Event()

    def jitter() -> float:
        pauses.set()  # the pause is reckoned, and comes next
        return 0.0

    exporter = SpanExporter(queue, collected, jitter=jitter, linger_seconds=0.01)
    queue.put(RECORD)
    assert pauses.wait(10)
    assert exporter.close(10)
    assert queue.dropped == {"unreachable": 1}
    assert collected.attempts == 2, "it is tried once more"
