"""Spans on their way to a collector: real HTTP, read by the official messages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sidecar.config.model import Tracing
from sidecar.observability.tracing.exporter import CollectorRefusesError, RetryLaterError
from sidecar.observability.tracing.header_file import HeaderFileFault
from sidecar.observability.tracing.otlp import OtlpCollector
from tests.observability.tracing.collector import Receiver, collector
from tests.observability.tracing.test_context import SPAN, TRACE
from tests.observability.tracing.test_tracer import RECORD


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with collector() as running:
        yield running


def sender(receiver: Receiver, **settings: Any) -> OtlpCollector:
    return OtlpCollector(Tracing(url=receiver.url, **settings), "0.1.0")


def rejecting(spans: int) -> bytes:
    partial = ExportTracePartialSuccess(rejected_spans=spans)
    return ExportTraceServiceResponse(partial_success=partial).SerializeToString()


def test_a_span_says_what_was_decided(receiver: Receiver) -> None:
    out = sender(receiver, service_name="edge-sidecar")
    assert out.send([RECORD]) == 0
    out.close()
    (sent,) = receiver.spans
    span = sent.span
    assert receiver.headers[0][":path"] == "/v1/traces"
    assert receiver.headers[0]["content-type"] == "application/x-protobuf"
    assert sent.service == "edge-sidecar"
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (
        TRACE, SPAN, "a=b",
    )  # fmt: skip
    assert len(span.span_id) == 8
    assert any(span.span_id)
    assert (span.name, span.kind) == ("Check", Span.SPAN_KIND_SERVER)
    assert span.end_time_unix_nano - span.start_time_unix_nano == 50_000
    assert span.flags == 0x301, "sampled; its parent is another process's"
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert sent.said == {
        "septem.decision": "allow",
        "septem.reason": "token_verified",
        "septem.status": 200,
        "septem.route": "api",
        "septem.tenant": "acme",
        "septem.decision_id": "d" * 20,
        "septem.request_id": "request-1",
        "rpc.system": "grpc",
        "rpc.service": "envoy.service.auth.v3.Authorization",
        "rpc.method": "Check",
    }


def test_what_is_empty_is_left_out_and_a_fault_is_an_error(receiver: Receiver) -> None:
    root = msgspec.structs.replace(RECORD, parent_id="", tenant="", request_id="", state="")
    denied = msgspec.structs.replace(root, outcome="deny", reason="token_expired", status=401)
    fault = msgspec.structs.replace(root, outcome="deny", reason="internal_fault", status=500)
    sender(receiver).send([root, denied, fault])
    spans = receiver.spans
    assert not {"septem.tenant", "septem.request_id"} & set(spans[0].said)
    assert (spans[0].span.parent_span_id, spans[0].span.flags) == (b"", 0x101)
    codes = [each.span.status.code for each in spans]
    assert codes == [Status.STATUS_CODE_UNSET] * 2 + [Status.STATUS_CODE_ERROR]
    assert len({each.span.span_id for each in spans}) == 3


def test_spans_of_several_slices_arrive_once_each_and_in_order(receiver: Receiver) -> None:
    records = [msgspec.structs.replace(RECORD, decision_id=f"{n:020}") for n in range(40)]
    sender(receiver).send(records)
    assert [each.said["septem.decision_id"] for each in receiver.spans] == [
        each.decision_id for each in records
    ]


ANSWERS: list[tuple[str, int, dict[str, str], bytes, type[Exception] | int, float]] = [
    ("some rejected", 200, {}, rejecting(1), 1, 0),
    ("more rejected than were sent", 200, {}, rejecting(9), 2, 0),
    ("fewer than none", 200, {}, rejecting(-3), 0, 0),
    ("an answer that is no message", 200, {}, b"\xff\xff", 0, 0),
    ("too many", 429, {"retry-after": "7"}, b"", RetryLaterError, 7),
    ("too many, for a day", 429, {"retry-after": "86400"}, b"", RetryLaterError, 60),
    ("unavailable", 503, {}, b"", RetryLaterError, 0),
    ("a date to come again", 503, {"retry-after": "Fri, 31 Dec 2027 23:59:59 GMT"}, b"",
     RetryLaterError, 0),
    ("a gateway", 502, {}, b"", RetryLaterError, 0),
    ("a gateway that waits", 504, {}, b"", RetryLaterError, 0),
    ("not well formed", 400, {}, b"", CollectorRefusesError, 0),
    ("not let in", 401, {}, b"", CollectorRefusesError, 0),
    ("a defect", 500, {}, b"", CollectorRefusesError, 0),
    ("somewhere else", 307, {"location": "http://192.0.2.1/"}, b"", CollectorRefusesError, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "headers", "body", "outcome", "seconds"),
    [row[1:] for row in ANSWERS],
    ids=[row[0] for row in ANSWERS],
)
def test_an_answer_is_read_by_otlp(  # noqa: PLR0917 - a row of the table
    receiver: Receiver,
    status: int,
    headers: dict[str, str],
    body: bytes,
    outcome: type[Exception] | int,
    seconds: float,
) -> None:
    receiver.answers.append((status, headers, body))
    out = sender(receiver)
    if isinstance(outcome, int):
        assert out.send([RECORD, RECORD]) == outcome
        return
    with pytest.raises(outcome) as raised:
        out.send([RECORD, RECORD])
    assert getattr(raised.value, "seconds", 0) == seconds
    assert receiver.asked == 1, "no redirect is followed"


def test_the_collectors_headers_are_read_for_each_batch(receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("x-api-key: one\n")
    out = sender(receiver, headers_file=str(file))
    out.send([RECORD])
    file.write_text("Authorization: Bearer two\n")
    out.send([RECORD])
    assert receiver.headers[0]["x-api-key"] == "one"
    assert receiver.headers[1]["authorization"] == "Bearer two"
    assert "x-api-key" not in receiver.headers[1]
    file.unlink()
    with pytest.raises(HeaderFileFault):
        out.send([RECORD])
    assert receiver.asked == 2, "nothing is sent without them"
