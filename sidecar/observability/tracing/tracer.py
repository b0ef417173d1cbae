"""Which Checks have a span, and the queue in which they wait until somebody takes them.

A Check pays nothing for it. When its audit line is written, between Checks, its context is read,
and what is there anyway of a sampled one is queued; a span is made of it where it is exported:
by the main process (``exporter``), or by a worker, to be sent there. The queue is bounded, and so
is the number of spans a second: clients may ask for any number of them.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Literal, Protocol

import msgspec

from sidecar.observability.tracing.context import RANDOM, SAMPLED, TraceContext, read_traceparent

SpanLoss = Literal["rate", "queue", "refused", "unreachable"]
"""See ``counters.SPAN_LOSSES``."""
MAX_TEXT = 256

_Hex = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
_Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class SpanRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One decision, as its span says it. Times are nanoseconds since 1970."""

    trace_id: _Hex
    parent_id: Annotated[str, msgspec.Meta(pattern="^(?:[0-9a-f]{16})?$")]
    """The span that asked; empty for a trace that begins here."""
    flags: Annotated[int, msgspec.Meta(ge=0, le=255)]
    state: Annotated[str, msgspec.Meta(max_length=512)]
    begins: _Nanoseconds
    ends: _Nanoseconds
    outcome: Literal["allow", "deny", "shadow"]
    reason: _Text
    status: Annotated[int, msgspec.Meta(ge=100, le=599)]
    route: _Text
    tenant: _Text
    decision_id: Annotated[str, msgspec.Meta(max_length=64)]
    request_id: Annotated[str, msgspec.Meta(max_length=64)]


class PendingSpan(Protocol):
    """What a span can be made of, once it is exported."""

    def record(self) -> SpanRecord:
        """Make it."""


class SpanQueue:
    """A bounded queue of spans: one thread puts, one thread takes.

    ``dropped`` counts those that had no place, among others, by reason.
    """

    def __init__(self, size: int, dropped: dict[str, int]) -> None:
        self._size = size
        self._spans: deque[PendingSpan | SpanRecord] = deque()
        self.dropped = dropped
        self.on_half_full: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._spans)

    def put(self, span: PendingSpan | SpanRecord) -> None:
        """Queue a span, or count it as dropped."""
        waiting = len(self._spans)
        if waiting >= self._size:
            count_loss(self.dropped, "queue")
            return
        self._spans.append(span)
        if waiting * 2 == self._size:
            self.on_half_full()

    def put_all(self, spans: Iterable[SpanRecord]) -> None:
        """Queue several."""
        for span in spans:
            self.put(span)

    def take(self, most: int) -> list[SpanRecord]:
        """Take at most so many, the oldest first."""
        spans = self._spans
        taken = [spans.popleft() for _ in range(min(most, len(spans)))]
        return [each if isinstance(each, SpanRecord) else each.record() for each in taken]


class Tracer:
    """Decides for each Check whether it has a span.

    One whose context is sampled has one, one whose context is not has none, and of those without
    a context ``ratio`` begin a trace of their own (OpenTelemetry's ParentBased sampler). In each
    second there are ``per_second`` at most.
    """

    __slots__ = ("_left", "_per_second", "_queue", "_random", "_second", "ratio")

    def __init__(self, queue: SpanQueue, ratio: float, per_second: int) -> None:
        self._queue = queue
        self.ratio = ratio
        self._per_second = per_second
        self._second = self._left = 0
        self._random = random.SystemRandom()

    def begin(self) -> TraceContext | None:
        """Return the context of a trace that begins here, if one does."""
        if self._random.random() >= self.ratio:
            return None
        return b"%032x" % (self._random.getrandbits(128) or 1), b"", b"%02x" % (SAMPLED | RANDOM)

    def put(self, span: PendingSpan, at_seconds: float) -> bool:
        """Queue a span, and return whether there may be another one in this second.

        One that may not be, or has no place, is counted as dropped.
        """
        second = int(at_seconds)
        if second != self._second:
            self._second, self._left = second, self._per_second
        if self._left > 0:
            self._left -= 1
            self._queue.put(span)
            return True
        count_loss(self._queue.dropped, "rate")
        return False


def read_context(carried: bytes, headers: Mapping[str, bytes]) -> TraceContext | None:
    """Return a Check's context: Envoy's own span's, or else the request's."""
    if carried:
        return read_traceparent(carried.partition(b"\n")[0])
    value = headers.get("traceparent")
    return None if value is None else read_traceparent(value)


def count_loss(dropped: dict[str, int], loss: SpanLoss, spans: int = 1) -> None:
    """Count spans that are not exported."""
    dropped[loss] = dropped.get(loss, 0) + spans
