"""Which Checks have a span, and the queue in which spans wait until somebody takes them.

A Check pays nothing for it. When its audit line is written, between Checks, its context is read,
and one small record of a sampled one is queued: to be exported by the main process
(``exporter``), or by a worker to be sent there. The queue is bounded, and so is the number of
spans a second: clients may ask for any number of them.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Literal, NamedTuple

import msgspec

from sidecar.common.token_bucket import TokenBucket
from sidecar.observability.tracing.context import (
    RANDOM,
    SAMPLED,
    TraceContext,
    read_traceparent,
    read_tracestate,
)

SpanLoss = Literal["rate", "queue", "refused", "unreachable"]
"""See ``counters.SPAN_LOSSES``."""
MAX_TEXT = 256

_Hex = Annotated[str, msgspec.Meta(pattern="^(?:[0-9a-f]{2})+$", max_length=32)]
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


class SampledTrace(NamedTuple):
    """The trace that a span belongs to, and its place there."""

    trace_id: str
    parent_id: str
    flags: int
    state: str


class SpanQueue:
    """A bounded queue of finished spans: one thread puts, one thread takes.

    ``dropped`` counts those that had no place, among others, by reason.
    """

    def __init__(self, size: int, dropped: dict[str, int]) -> None:
        self._size = size
        self._records: deque[SpanRecord] = deque()
        self.dropped = dropped
        self.on_half_full: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._records)

    def put(self, record: SpanRecord) -> None:
        """Queue a span, or count it as dropped."""
        waiting = len(self._records)
        if waiting >= self._size:
            count_loss(self.dropped, "queue")
            return
        self._records.append(record)
        if waiting * 2 == self._size:
            self.on_half_full()

    def put_all(self, records: Iterable[SpanRecord]) -> None:
        """Queue several."""
        for record in records:
            self.put(record)

    def take(self, most: int) -> list[SpanRecord]:
        """Take at most so many, the oldest first."""
        records = self._records
        return [records.popleft() for _ in range(min(most, len(records)))]


class Tracer:
    """Decides for each Check whether it has a span.

    One whose context is sampled has one, one whose context is not has none, and of those without
    a context ``ratio`` begin a trace of their own (OpenTelemetry's ParentBased sampler).
    ``per_second`` bounds them all.
    """

    __slots__ = ("_bucket", "_per_second", "_queue", "_random", "_ratio")

    def __init__(self, queue: SpanQueue, ratio: float, per_second: float) -> None:
        self._queue = queue
        self._ratio = ratio
        self._per_second = per_second
        self._bucket: TokenBucket | None = None
        self._random = random.SystemRandom()

    def read(self, carried: bytes, headers: Mapping[str, bytes]) -> TraceContext | None:
        """Return a Check's context: Envoy's own span's, or else the request's."""
        if carried:
            return read_traceparent(carried.partition(b"\n")[0])
        value = headers.get("traceparent")
        return None if value is None else read_traceparent(value)

    def sample(
        self,
        context: TraceContext | None,
        carried: bytes,
        headers: Mapping[str, bytes],
        at_seconds: float,
    ) -> SampledTrace | None:
        """Return the trace in which a Check is recorded; ``None`` for one that is not."""
        if context is not None:
            if not context.is_sampled or not self._has_room(at_seconds):
                return None
            state = carried.partition(b"\n")[2] if carried else headers.get("tracestate", b"")
            return SampledTrace(
                context.trace_id.decode("ascii"),
                context.parent_id.decode("ascii"),
                context.flags & (SAMPLED | RANDOM),
                read_tracestate(state) if state else "",
            )
        if not self._ratio or self._random.random() >= self._ratio:
            return None
        if not self._has_room(at_seconds):
            return None
        trace_id = self._random.getrandbits(128) or 1
        return SampledTrace(f"{trace_id:032x}", "", SAMPLED | RANDOM, "")

    def end(self, record: SpanRecord) -> None:
        """Queue a finished span, or count it as dropped."""
        self._queue.put(record)

    def _has_room(self, at_seconds: float) -> bool:
        if self._bucket is None:
            self._bucket = TokenBucket(self._per_second, self._per_second, at_seconds)
        if self._bucket.take(at_seconds):
            return True
        count_loss(self._queue.dropped, "rate")
        return False


def count_loss(dropped: dict[str, int], loss: SpanLoss, spans: int = 1) -> None:
    """Count spans that are not exported."""
    dropped[loss] = dropped.get(loss, 0) + spans
