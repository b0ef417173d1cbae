"""Which Checks have a span: by their context, by the ratio, and bounded in number and queue."""

from collections.abc import Mapping

import msgspec
import pytest

from sidecar.observability.tracing.tracer import SpanQueue, SpanRecord, Tracer
from tests.observability.tracing.test_context import SPAN, TRACE, WHOLE

NO_HEADERS: Mapping[str, str] = {}
NOT_SAMPLED = WHOLE[:-1] + "0"
RECORD = SpanRecord(
    TRACE, SPAN, 1, "a=b", 1_000_000_000, 1_000_050_000, "allow", "token_verified", 200, "api",
    "acme", "d" * 20, "request-1",
)  # fmt: skip


def traced(
    carried: str = "", headers: Mapping[str, str] = NO_HEADERS, ratio: float = 0.0
) -> tuple[bytes, tuple[object, ...] | None]:
    """Return the trace's id as the audit line has it, and the trace of a sampled one."""
    tracer = Tracer(SpanQueue(8, {}), ratio, 100)
    raw = {name: value.encode() for name, value in headers.items()}
    context = tracer.read(carried.encode(), raw)
    sampled = tracer.sample(context, carried.encode(), raw, 1.0)
    return b"" if context is None else context.trace_id, sampled


OTHER = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.mark.parametrize(
    ("carried", "headers", "sampled"),
    [
        (WHOLE, {}, (TRACE, SPAN, 1, "")),
        (f"{WHOLE}\na=b", {}, (TRACE, SPAN, 1, "a=b")),
        (f"{WHOLE}\nA=b", {}, (TRACE, SPAN, 1, "")),
        (f"{WHOLE[:-2]}ff", {}, (TRACE, SPAN, 3, "")),
        (NOT_SAMPLED, {}, None),
        ("", {"traceparent": WHOLE, "tracestate": "a=b"}, (TRACE, SPAN, 1, "a=b")),
        ("", {"tracestate": "a=b"}, None),
        (WHOLE, {"traceparent": OTHER, "tracestate": "a=b"}, (TRACE, SPAN, 1, "")),
        (NOT_SAMPLED, {"traceparent": OTHER}, None),
        ("", {}, None),
    ],
    ids=[
        "Envoy's span", "with its state", "a state that is none", "flags that are not known",
        "not sampled", "the request's own", "a state without a parent", "Envoy's is taken first",
        "Envoy's decision before the request's", "no context",
    ],
)  # fmt: skip
def test_a_span_follows_who_asks(
    carried: str, headers: dict[str, str], sampled: tuple[object, ...] | None
) -> None:
    trace_id, trace = traced(carried, headers)
    assert trace == sampled
    assert (trace_id == TRACE.encode()) == bool(carried or "traceparent" in headers)


def test_the_ratio_is_for_requests_without_a_context_alone() -> None:
    assert traced(NOT_SAMPLED, ratio=1.0)[1] is None
    trace_id, sampled = traced(ratio=1.0)
    assert trace_id == b""
    assert sampled is not None
    assert len(bytes.fromhex(str(sampled[0]))) == 16
    assert sampled[1:] == ("", 3, "")
    tracer = Tracer(SpanQueue(8, {}), 0.25, 1e9)
    begun = sum(tracer.sample(None, b"", {}, 1.0) is not None for _ in range(4000))
    assert 700 < begun < 1300


def test_spans_a_second_are_bounded() -> None:
    dropped: dict[str, int] = {}
    tracer = Tracer(SpanQueue(8, dropped), 1.0, 3)
    context = tracer.read(WHOLE.encode(), {})

    def sampled(now: float) -> int:
        return sum(tracer.sample(context, b"", {}, now) is not None for _ in range(5))

    assert (sampled(1.0), dropped) == (3, {"rate": 2})
    assert sampled(1.5) == 1
    assert sampled(9.0) == 3
    assert sum(tracer.sample(None, b"", {}, 9.0) is not None for _ in range(5)) == 0


def test_a_full_queue_drops_and_counts() -> None:
    dropped: dict[str, int] = {}
    queue = SpanQueue(4, dropped)
    woken: list[int] = []
    queue.on_half_full = lambda: woken.append(len(queue))
    queue.put_all([RECORD] * 6)
    assert (len(queue), dropped, woken) == (4, {"queue": 2}, [3])
    assert queue.take(3) == [RECORD] * 3
    assert queue.take(3) == [RECORD]
    assert not queue.take(3)


ODD = {
    "a trace that is no number": {"trace_id": "x" * 32},
    "a long trace": {"trace_id": "ab" * 17},
    "a short parent": {"parent_id": "ab"},
    "flags of two bytes": {"flags": 256},
    "a negative time": {"begins": -1},
    "a time of nobody": {"ends": 2**63},
    "another outcome": {"outcome": "maybe"},
    "a long text": {"tenant": "x" * 257},
    "a long state": {"state": "x" * 513},
    "a status of nobody": {"status": 1000},
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_what_no_worker_sends_is_no_record(change: dict[str, object]) -> None:
    good = msgspec.msgpack.encode(RECORD)
    assert msgspec.msgpack.decode(good, type=SpanRecord) == RECORD
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(
            msgspec.msgpack.encode(msgspec.structs.replace(RECORD, **change)), type=SpanRecord
        )
