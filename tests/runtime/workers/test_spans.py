"""A worker's spans are sent in frames, and wait while the main process has much to read."""

from collections.abc import Callable

import pytest

from sidecar.observability.tracing.tracer import SpanQueue
from sidecar.runtime.workers.frames import MAX_SPANS, Spans
from sidecar.runtime.workers.framing import MAX_FROM_WORKER_BYTES, encode
from sidecar.runtime.workers.spans import MAX_UNSENT_BYTES, SEND_SECONDS, SpanSender
from tests.observability.tracing.test_tracer import RECORD


class Sending:
    """A sender whose loop and channel are in the test's hands."""

    def __init__(self) -> None:
        self.queue = SpanQueue(1000, {})
        self.sent: list[int] = []
        self.unsent = 0
        self.scheduled: list[tuple[float, Callable[[], None]]] = []
        self.sender = SpanSender(
            self.queue,
            lambda frame: self.sent.append(len(frame.spans)),
            lambda: self.unsent,
            lambda *call: self.scheduled.append(call),
        )

    def turn(self) -> None:
        """Run what is scheduled, once."""
        ((seconds, function),) = self.scheduled
        assert seconds == SEND_SECONDS
        self.scheduled.clear()
        function()


@pytest.fixture
def sending() -> Sending:
    return Sending()


def test_nothing_is_sent_where_there_is_nothing(sending: Sending) -> None:
    sending.sender.start()
    sending.turn()
    sending.turn()
    assert sending.sent == []


def test_what_is_queued_is_sent_in_frames(sending: Sending) -> None:
    sending.sender.start()
    sending.queue.put_all([RECORD] * (MAX_SPANS + 3))
    assert sending.sent == []
    sending.turn()
    assert sending.sent == [MAX_SPANS, 3]


def test_spans_wait_while_the_main_process_does_not_read(sending: Sending) -> None:
    sending.sender.start()
    sending.queue.put(RECORD)
    sending.unsent = MAX_UNSENT_BYTES + 1
    sending.turn()
    sending.sender.send()
    assert (sending.sent, len(sending.queue)) == ([], 1)
    sending.unsent = MAX_UNSENT_BYTES
    sending.turn()
    assert sending.sent == [1]


def test_the_largest_frame_is_one_that_is_taken() -> None:
    long = RECORD.__class__(
        "f" * 32, "f" * 16, 255, "s" * 512, 2**62, 2**62, "shadow", "r" * 256, 599, "o" * 256,
        "t" * 256, "d" * 64, "q" * 64,
    )  # fmt: skip
    assert len(encode(Spans((long,) * MAX_SPANS))) < MAX_FROM_WORKER_BYTES
