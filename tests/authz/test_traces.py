"""The span of a Check says what its audit line says, whichever path the Check took."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.authz.decision_ids import DecisionIds
from sidecar.authz.encoding.request import carry_trace
from sidecar.authz.recorder import DecisionRecorder
from sidecar.authz.service import CheckService
from sidecar.authz.snapshot import build_snapshot
from sidecar.config import parse_config
from sidecar.observability.audit import AuditLog, FileSink
from sidecar.observability.counters import Counters
from sidecar.observability.tracing.tracer import SpanQueue, SpanRecord, Tracer
from sidecar.tokens.cache import TokenCache
from tests.authz.checks import check_request
from tests.authz.conftest import CONFIG
from tests.observability.tracing.test_context import SPAN, TRACE, WHOLE
from tests.support.failing import fail_on
from tests.support.minting import NOW, TENANT, Issuer

ISSUER = Issuer.generate()
REQUEST_ID = "0d1c6c3a-5b0e-4c1d-9a55-6a0b7f0c1e2d"


class TracedBook:
    """A service whose Checks are traced and recorded."""

    def __init__(
        self, path: Path, *, ratio: float = 0.0, sample_allowed: float = 1.0, per_second: int = 1000
    ) -> None:
        self.path = path
        self.ticks = 0
        self.counters = Counters()
        self.queue = SpanQueue(64, {})
        self.audit = AuditLog(
            FileSink(path), queue_lines=1000, on_error=fail_on, sample_allowed=sample_allowed
        )
        self.recorder = DecisionRecorder(
            self.counters,
            self.audit,
            lambda *_: None,
            fail_on,
            Tracer(self.queue, ratio, per_second),
        )
        self.service = CheckService(
            build_snapshot(parse_config(CONFIG, "test"), ISSUER.ring),
            now=lambda: NOW + 0.25,
            elapsed_ns=self.elapsed_ns,
            new_id=DecisionIds().take,
            observer=self.recorder,
            on_fault=fail_on,
            cache=TokenCache(),
        )

    def elapsed_ns(self) -> int:
        self.ticks += 7_000
        return self.ticks

    def ask(self, token: bytes | None, context: bytes = b"", path: str = "/api/x") -> None:
        headers = {"x-request-id": REQUEST_ID}
        if token is not None:
            headers["authorization"] = f"Bearer {token.decode()}"
        self.service.handle(check_request(path=path, headers=headers) + context)

    def told(self) -> tuple[list[SpanRecord], list[dict[str, Any]]]:
        """Return the spans and the lines."""
        self.recorder.drain()
        assert self.audit.close(5)
        return self.queue.take(64), [
            json.loads(each) for each in self.path.read_text().splitlines()
        ]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[TracedBook]:
    made = TracedBook(tmp_path / "audit.jsonl")
    yield made
    made.audit.close(5)


SAMPLED = carry_trace(WHOLE.encode(), b"a=b")


@pytest.mark.parametrize(
    ("path", "has_token", "outcome"),
    [("/api/x", True, "allow"), ("/public/x", False, "allow"), ("/api/x", False, "deny"),
     ("/shadow/x", False, "deny")],
    ids=["a token", "public", "denied", "unmatched"],
)  # fmt: skip
def test_span_and_line_agree(book: TracedBook, path: str, has_token: bool, outcome: str) -> None:
    token = ISSUER.mint() if has_token else None
    for _ in range(2):  # the second of an allowed one takes the fast path
        book.ask(token, SAMPLED, path)
    spans, lines = book.told()
    assert len(spans) == len(lines) == 2
    for span, line in zip(spans, lines, strict=True):
        assert (span.trace_id, span.parent_id, span.flags, span.state) == (TRACE, SPAN, 1, "a=b")
        assert line["trace_id"] == TRACE
        assert span.outcome == line["outcome"] == outcome
        assert (span.reason, span.status, span.route) == (
            line["reason"], line["status"], line["route"],
        )  # fmt: skip
        assert span.tenant == line.get("tenant", "") == (TENANT if has_token else "")
        assert span.decision_id == line["decision_id"]
        assert span.request_id == line["request_id"] == REQUEST_ID
        assert span.ends == int((NOW + 0.25) * 1e9)
        assert (span.ends - span.begins) // 1000 == line["latency_us"]
    assert spans[0].decision_id != spans[1].decision_id


@pytest.mark.parametrize(
    ("context", "trace_id"),
    [
        (carry_trace(WHOLE[:-1].encode() + b"0", b""), TRACE),
        (carry_trace(WHOLE.encode().upper(), b"a=b"), None),
        (b"", None),
    ],
    ids=["not sampled", "no context", "none"],
)
def test_what_is_not_sampled_has_no_span(
    book: TracedBook, context: bytes, trace_id: str | None
) -> None:
    token = ISSUER.mint()
    for each in (token, token, None):
        book.ask(each, context)
    spans, lines = book.told()
    assert spans == []
    assert [line.get("trace_id") for line in lines] == [trace_id] * 3


def test_a_request_without_a_context_may_begin_a_trace(tmp_path: Path) -> None:
    book = TracedBook(tmp_path / "audit.jsonl", ratio=1.0)
    token = ISSUER.mint()
    for each in (token, token, None):
        book.ask(each)
    spans, lines = book.told()
    assert [span.parent_id for span in spans] == [""] * 3
    assert [span.trace_id for span in spans] == [line["trace_id"] for line in lines]
    assert len({span.trace_id for span in spans}) == 3


def test_a_line_that_is_not_in_the_audit_sample_has_its_span(tmp_path: Path) -> None:
    book = TracedBook(tmp_path / "audit.jsonl", sample_allowed=0.0)
    token = ISSUER.mint()
    for _ in range(3):
        book.ask(token, SAMPLED)
    spans, lines = book.told()
    assert (len(spans), len(lines)) == (3, 0)


def test_a_message_that_is_none_has_a_line_and_no_span(book: TracedBook) -> None:
    book.service.handle(b"\xff" + SAMPLED)
    spans, lines = book.told()
    assert (spans, [line["reason"] for line in lines]) == ([], ["request_malformed"])


def test_a_sampled_check_is_shown_by_its_trace(tmp_path: Path) -> None:
    book = TracedBook(tmp_path / "audit.jsonl", sample_allowed=0.0)
    token = ISSUER.mint()
    for context in (b"", SAMPLED, b""):
        book.ask(token, context)
    book.recorder._drain_slice()
    shown = book.counters.exemplars.values()
    assert {(each.label, each.value) for each in shown} == {("trace_id", TRACE)}
    book.ask(None, SAMPLED)
    book.recorder._drain_slice()
    assert {(each.label, each.value) for each in shown} == {("trace_id", TRACE)}


def test_a_span_that_is_one_too_many_is_not_queued(tmp_path: Path) -> None:
    book = TracedBook(tmp_path / "audit.jsonl", per_second=2)
    token = ISSUER.mint()
    for each in (token, token, None):
        book.ask(each, SAMPLED)
    spans, lines = book.told()
    assert (len(spans), book.queue.dropped) == (2, {"rate": 1})
    assert [line["trace_id"] for line in lines] == [TRACE] * 3
