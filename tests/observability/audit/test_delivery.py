"""The thread of one sink: tried again until it is taken, counted, and handed on in a reload."""

import threading
from collections.abc import Iterator

import pytest

from sidecar.common.clock import monotonic_seconds
from sidecar.observability.audit.delivery import BatchBounds, Delivery
from sidecar.observability.audit.intake import Intake
from sidecar.observability.audit.sinks import LinesRefusedError, PartialWriteError
from tests.support.waiting import wait_until

STARTED: list[Delivery] = []
SOON = BatchBounds()


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(
        "sidecar.observability.audit.delivery._BACKOFF",
        type("Soon", (), {"pause_seconds": staticmethod(lambda *_: 0.01)}),
    )
    monkeypatch.setattr("sidecar.observability.audit.delivery._POLL_SECONDS", 0.01)
    yield
    while STARTED:
        delivery = STARTED.pop()
        delivery.stop(0.0)
        if delivery._thread.ident is not None:
            assert delivery.join(10)


class Scripted:
    """A sink that does what it is told, one word a write."""

    def __init__(self, *script: Exception | None) -> None:
        self.script = list(script)
        self.taken: list[bytes] = []
        self.did: list[str] = []
        self.open = threading.Event()
        self.open.set()

    def write(self, lines: bytes) -> None:
        self.did.append("write")
        self.open.wait(30)
        outcome = self.script.pop(0) if self.script else None
        if isinstance(outcome, PartialWriteError):
            self.taken.append(lines[: outcome.taken])
        if isinstance(outcome, LinesRefusedError) or outcome is None:
            self.taken.append(lines)
        if outcome is not None:
            raise outcome

    def reopen(self) -> None:
        self.did.append("reopen")

    def close(self) -> None:
        self.did.append("close")


def deliver(
    sink: Scripted, intake: Intake, bounds: BatchBounds = SOON, *, start: bool = True
) -> Delivery:
    delivery = Delivery(
        "one", sink, lambda: intake, bounds=bounds, clock=monotonic_seconds, jitter=lambda: 0.0
    )
    STARTED.append(delivery)
    if start:
        delivery.start()
    return delivery


def queue_of(*texts: bytes) -> Intake:
    intake = Intake(1000, 100_000)
    for text in texts:
        intake.put(text, text.count(b"\n"))
    return intake


OUTCOMES: list[tuple[str, list[Exception | None], bytes, tuple[int, int, int]]] = [
    ("taken", [None], b"a\nb\n", (2, 0, 0)),
    ("a fault that passes", [OSError(0, "away")] * 3, b"a\nb\n", (2, 0, 3)),
    ("a part first", [PartialWriteError(OSError(28, "full"), 3)], b"a\nb\n", (2, 0, 1)),
    ("one refused", [LinesRefusedError(1, "a bad row")], b"a\nb\n", (1, 1, 0)),
    ("a bug, twice", [ValueError()] * 2, b"a\nb\n", (2, 0, 2)),
    ("a bug, always", [ValueError()] * 3, b"", (0, 2, 3)),
]


@pytest.mark.parametrize(
    ("script", "taken", "counts"), [row[1:] for row in OUTCOMES], ids=[r[0] for r in OUTCOMES]
)
def test_what_becomes_of_a_batch(
    script: list[Exception | None], taken: bytes, counts: tuple[int, int, int]
) -> None:
    sink, intake = Scripted(*script), queue_of(b"a\nb\n")
    delivery = deliver(sink, intake)
    wait_until(lambda: not intake.waiting)
    assert b"".join(sink.taken) == taken
    wait_until(lambda: (delivery.delivered, delivery.refused, delivery.errors) == counts)
    assert delivery.problem == ""


def test_a_problem_is_shown_while_it_lasts() -> None:
    sink, intake = Scripted(*[OSError(0, "out of reach")] * 1000), queue_of(b"a\n")
    delivery = deliver(sink, intake)
    wait_until(lambda: delivery.problem == "out of reach")
    assert (delivery.waiting, delivery.is_alive, delivery.has_died) == (1, True, False)
    sink.script.clear()
    wait_until(lambda: not delivery.problem)
    assert delivery.waiting == 0


def test_it_waits_for_a_source_that_is_not_there_yet() -> None:
    sources: list[Intake] = []
    delivery = Delivery(
        "one", sink := Scripted(), lambda: sources[0] if sources else None,
        bounds=BatchBounds(), clock=monotonic_seconds, jitter=lambda: 0.0,
    )  # fmt: skip
    STARTED.append(delivery)
    delivery.start()
    assert delivery.waiting == 0
    sources.append(queue_of(b"a\n"))
    wait_until(lambda: sink.taken == [b"a\n"])


def test_a_batch_waits_until_it_is_large_or_old() -> None:
    large, small = Scripted(), Scripted()
    deliver(large, queue_of(*[b"a\n"] * 10), BatchBounds(10, 1000, 600.0))
    wait_until(lambda: large.taken == [b"a\n" * 10])
    intake = queue_of(b"a\n")
    deliver(small, intake, BatchBounds(10, 1000, 0.2))
    intake.put(b"b\n", 1)
    wait_until(lambda: small.taken)
    assert small.taken == [b"a\nb\n"]


def test_a_file_is_reopened_between_two_writes_with_a_whole_line() -> None:
    sink = Scripted(PartialWriteError(OSError(28, "full"), 3))
    sink.open.clear()
    delivery = deliver(sink, queue_of(b"aaa\nbbb\n"))
    wait_until(lambda: sink.did == ["write"])
    delivery.reopen()
    sink.open.set()
    wait_until(lambda: len(sink.taken) == 2)
    assert sink.taken == [b"aaa", b"aaa\nbbb\n"]
    assert sink.did == ["write", "reopen", "write"]


def test_it_ends_when_what_waits_is_written() -> None:
    sink = Scripted()
    sink.open.clear()
    delivery = deliver(sink, queue_of(*[b"a\n"] * 5), BatchBounds(1, 1000))
    wait_until(lambda: sink.did)
    delivery.stop(30.0)
    sink.open.set()
    assert delivery.join(10)
    assert sink.taken == [b"a\n"] * 5
    assert sink.did[-1] == "close"
    assert not delivery.has_died


def test_a_sink_that_fails_is_not_waited_for_at_the_end() -> None:
    sink = Scripted(*[OSError(0, "away")] * 1000)
    delivery = deliver(sink, queue_of(b"a\n"))
    wait_until(lambda: sink.did)
    delivery.stop(600.0)
    assert delivery.join(10)
    assert delivery.waiting == 1


def test_lines_that_come_within_the_grace_are_written() -> None:
    """The audit log writes one more batch to the sinks that a reload has removed."""
    sink, intake = Scripted(), queue_of()
    delivery = deliver(sink, intake)
    delivery.stop(30.0, grace_seconds=0.3)
    intake.put(b"late\n", 1)
    assert delivery.join(10)
    assert sink.taken == [b"late\n"]


def test_a_successor_goes_on_with_what_is_left_and_counts_on() -> None:
    before, after = Scripted(), Scripted()
    before.script = [None, PartialWriteError(OSError(5, "cut"), 5)]
    intake = queue_of(b"a\n")
    first = deliver(before, intake)
    wait_until(lambda: first.delivered == 1)
    before.open.clear()
    intake.put(b"bbb\nccc\n", 2)
    wait_until(lambda: before.did.count("write") == 2)
    second = deliver(after, queue_of(), start=False)
    first.hand_over(second)
    intake.put(b"d\n", 1)
    before.open.set()
    wait_until(lambda: after.taken == [b"ccc\n", b"d\n"])
    wait_until(lambda: second.delivered == 4)
    assert before.taken == [b"a\n", b"bbb\nc"]
    assert second.errors == 1


def test_a_successor_that_is_replaced_before_it_began_hands_on() -> None:
    before, between, after = Scripted(), Scripted(), Scripted()
    before.open.clear()
    before.script = [OSError(0, "cut")]
    first = deliver(before, queue_of(b"a\n"))
    wait_until(lambda: before.did)
    second = deliver(between, queue_of(), start=False)
    third = deliver(after, queue_of(), start=False)
    first.hand_over(second)
    second.hand_over(third)
    before.open.set()
    wait_until(lambda: after.taken == [b"a\n"])
    assert (between.taken, between.did) == ([], ["close"])
