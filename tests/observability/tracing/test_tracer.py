"""Which Checks have a span: by their context, by the ratio, and bounded in number and queue."""

import msgspec
import pytest

from sidecar.observability.tracing.tracer import SpanQueue, SpanRecord, Tracer, read_context
from tests.observability.tracing.test_context import SPAN, TRACE, WHOLE

RECORD = SpanRecord(
    TRACE, SPAN, 1, "a=b", 1_000_000_000, 1_000_050_000, "allow", "token_verified", 200, "api",
    "acme", "d" * 20, "request-1",
)  # fmt: skip


OTHER = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.mark.parametrize(
    ("carried", "headers", "trace"),
    [
        (WHOLE, {}, TRACE),
        (f"{WHOLE}\na=b", {}, TRACE),
        ("", {"traceparent": WHOLE}, TRACE),
        ("", {"tracestate": "a=b"}, None),
        (WHOLE, {"traceparent": OTHER}, TRACE),
        (WHOLE.upper(), {"traceparent": OTHER}, None),
        ("", {"traceparent": WHOLE.upper()}, None),
        ("", {}, None),
    ],
    ids=[
        "Envoy's span", "with its state", "the request's own", "a state without a parent",
        "Envoy's is taken first", "and nothing else where it is none", "none", "nothing",
    ],
)  # fmt: skip
def test_where_a_context_is_read(carried: str, headers: dict[str, str], trace: str | None) -> None:
    raw = {name: value.encode() for name, value in headers.items()}
    context = read_context(carried.encode(), raw)
    assert (None if context is None else context[0].decode()) == trace


def test_a_share_of_the_rest_begins_a_trace() -> None:
    for ratio, least, most in ((0.0, 0, 0), (0.25, 700, 1300), (1.0, 4000, 4000)):
        tracer = Tracer(SpanQueue(8, {}), ratio, 10)
        begun = [each for _ in range(4000) if (each := tracer.begin()) is not None]
        assert least <= len(begun) <= most
        assert len({trace_id for trace_id, _, _ in begun}) == len(begun)
        for trace_id, parent_id, flags in begun[:9]:
            assert len(bytes.fromhex(trace_id.decode())) == 16
            assert (parent_id, flags) == (b"", b"03")


def test_spans_a_second_are_bounded() -> None:
    dropped: dict[str, int] = {}
    queue = SpanQueue(80, dropped)
    tracer = Tracer(queue, 1.0, 3)

    def queued(now: float) -> int:
        return sum(tracer.put(Pending(), now) for _ in range(5))

    assert (queued(1.0), len(queue), dropped) == (3, 3, {"rate": 2})
    assert queued(1.9) == 0
    assert queued(2.0) == 3
    assert queued(1.0) == 3, "a clock that was put back"
    assert dropped["rate"] == 11


class Pending:
    """A span that is made when it is taken."""

    def record(self) -> SpanRecord:
        return RECORD


def test_a_full_queue_drops_and_counts() -> None:
    dropped: dict[str, int] = {}
    queue = SpanQueue(4, dropped)
    woken: list[int] = []
    queue.on_half_full = lambda: woken.append(len(queue))
    queue.put_all([RECORD] * 6)
    assert (len(queue), dropped, woken) == (4, {"queue": 2}, [3])
    assert queue.take(3) == [RECORD] * 3
    queue.put(Pending())
    assert queue.take(3) == [RECORD, RECORD]
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
