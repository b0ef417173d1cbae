"""Every Check is counted and has its line, whichever path it took."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.authz import recorder
from sidecar.authz.decision_ids import DecisionIds
from sidecar.authz.recorder import MAX_WAITING, OUTCOME_COST, SLICE_COST, DecisionRecorder
from sidecar.authz.service import CheckService
from sidecar.authz.snapshot import build_snapshot
from sidecar.config import parse_config
from sidecar.observability.audit import AuditEntry, AuditLog, FileSink, encode_entry
from sidecar.observability.audit.entry import (
    encode_allowed_check,
    ground_fragment,
    ids_fragment,
    key_state_fragment,
    kid_fragment,
    peer_fragment,
    target_fragment,
    tenant_fragment,
    token_fragment,
)
from sidecar.observability.metrics import Metrics
from sidecar.tokens.cache import TokenCache
from tests.authz.checks import check_request
from tests.authz.conftest import CONFIG
from tests.support.failing import fail_on
from tests.support.minting import NOW, TENANT, Issuer

ISSUER = Issuer.generate()


class Book:
    """A service whose recorder writes to a file, with a clock and a scheduler in our hands."""

    def __init__(self, path: Path, sample_allowed: float = 1.0) -> None:
        self.path = path
        self.metrics = Metrics()
        self.scheduled: list[tuple[float, Callable[[], None]]] = []
        self.unknown_keys = 0
        self.ticks = 0
        self.audit = AuditLog(
            FileSink(path), queue_lines=100_000, on_error=fail_on, sample_allowed=sample_allowed
        )
        self.recorder = DecisionRecorder(
            self.metrics.counters, self.audit, lambda *call: self.scheduled.append(call)
        )
        self.recorder.on_key_unknown = self.count_unknown
        self.service = CheckService(
            build_snapshot(parse_config(CONFIG, "test"), ISSUER.ring),
            now=lambda: NOW + 0.25,
            elapsed_ns=self.elapsed_ns,
            new_id=DecisionIds().take,
            observer=self.recorder,
            on_fault=lambda exc: pytest.fail(repr(exc)),
            cache=TokenCache(),
        )

    def elapsed_ns(self) -> int:
        self.ticks += 7_000
        return self.ticks

    def count_unknown(self) -> None:
        self.unknown_keys += 1

    def ask(self, token: bytes | None = None, path: str = "/api/x") -> None:
        headers = {} if token is None else {"authorization": f"Bearer {token.decode()}"}
        self.service.handle(check_request(path=path, headers=headers))

    def turn(self) -> None:
        """Run what is scheduled, once."""
        calls, self.scheduled = self.scheduled, []
        for _, function in calls:
            function()

    def lines(self) -> list[dict[str, object]]:
        self.recorder.drain()
        assert self.audit.close(5)
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def number(self, line: str) -> float:
        text = self.metrics.render().decode()
        return float(next(row for row in text.splitlines() if row.startswith(line)).split()[-1])


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "audit.jsonl")


def test_both_paths_leave_the_same_line(book: Book) -> None:
    token = ISSUER.mint()
    for path in ("/api/x", "/public/x", "/either"):
        for _ in range(2):
            book.ask(None if path != "/api/x" else token, path)
    lines = book.lines()
    assert len({line.pop("decision_id") for line in lines}) == 6
    for long, short in zip(lines[::2], lines[1::2], strict=True):
        assert long == short
        assert list(long) == list(short), "in the same order"
    assert lines[0] == {
        "time": "2026-09-21T14:13:20.250+00:00",
        "outcome": "allow",
        "reason": "token_verified",
        "status": 200,
        "route": "api",
        "tenant": TENANT,
        "subject": "user-42",
        "method": "GET",
        "host": "app.septemcore.com",
        "path": "/api/x",
        "source": "203.0.113.7",
        "principal": "spiffe://example/web",
        "kid": ISSUER.kid,
        "token_id": "tok-1",
        "token_digest": lines[0]["token_digest"],
        "key_state": "active",
        "latency_us": 7,
    }


def test_both_paths_are_counted(book: Book) -> None:
    token = ISSUER.mint()
    for _ in range(5):
        book.ask(token)
    book.ask(b"rubbish")
    allowed = 'septem_checks_total{outcome="allow",reason="token_verified",route="api"}'
    assert book.number(allowed) == 5
    assert book.number("septem_check_duration_seconds_count") == 6
    assert book.number('septem_check_duration_seconds_bucket{le="5e-05"}') == 6
    book.lines()


def test_personal_data_that_is_let_pass_is_counted_each_time(book: Book) -> None:
    token = ISSUER.mint(nick="somebody@example.com")
    for _ in range(3):
        book.ask(token)
    lines = book.lines()
    assert [line["warnings"] for line in lines] == [["claim 'nick' holds email (by its value)"]] * 3
    assert book.number("septem_pii_warnings_total") == 3


def test_lines_are_written_between_checks_a_slice_at_a_time(book: Book) -> None:
    token = ISSUER.mint()
    for _ in range(3 * SLICE_COST):
        book.ask(token)
    assert (len(book.scheduled), book.audit.written) == (1, 0)
    book.turn()
    waiting = len(book.recorder._waiting)
    assert 2 * SLICE_COST <= waiting <= 2 * SLICE_COST + OUTCOME_COST
    while book.scheduled:
        book.turn()
    assert not book.recorder._waiting
    assert len(book.lines()) == 3 * SLICE_COST


def test_what_waits_is_bounded_without_a_loop_that_turns(book: Book) -> None:
    token = ISSUER.mint()
    for _ in range(2 * MAX_WAITING + 10):
        book.ask(token)
        assert len(book.recorder._waiting) < MAX_WAITING
    assert len(book.lines()) == 2 * MAX_WAITING + 10


def test_of_allowed_ones_a_sample_is_written_whichever_way_they_went(tmp_path: Path) -> None:
    book, token = Book(tmp_path / "audit", sample_allowed=0.25), ISSUER.mint()
    for _ in range(2000):
        book.ask(token)
    for _ in range(20):
        book.ask(b"rubbish")
    outcomes = [line["outcome"] for line in book.lines()]
    assert outcomes.count("deny") == 20
    assert 380 < outcomes.count("allow") < 620
    allowed = 'septem_checks_total{outcome="allow",reason="token_verified",route="api"}'
    assert book.number(allowed) == 2000


def test_an_unknown_kid_is_reported(book: Book) -> None:
    for kid in ("key-1", "nobody"):
        book.ask(Issuer.generate(kid=kid).mint())
    assert book.unknown_keys == 1
    book.lines()


def test_what_a_cached_token_costs(tmp_path: Path) -> None:
    """The figure to reach is 1.5 KB a token: claims, answers and audit fragments included."""
    book, count = Book(tmp_path / "audit"), 2000
    tokens = [ISSUER.mint(jti=f"token-{n:08}", sub=f"user-{n:06}") for n in range(count)]
    book.ask(ISSUER.mint())
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for token in tokens:
            book.ask(token)
            book.ask(token)
            book.recorder.drain()
        while book.audit.queued:
            pass
        grown = (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()
        book.lines()
    assert len(book.service._response_cache.tokens) == count + 1
    assert grown < 1500


def shown(book: Book) -> list[tuple[str, str]]:
    exemplars = book.metrics.counters.exemplars.values()
    return [(each.label, each.value) for each in exemplars]


def test_a_check_is_shown_by_the_id_of_its_line(book: Book) -> None:
    token = ISSUER.mint()
    for _ in range(3):
        book.ask(token)
    book.turn()
    ((label, value),) = shown(book)
    lines = book.lines()
    assert (label, value) == ("decision_id", lines[0]["decision_id"]), "the first of a slice"


def test_a_request_is_shown_by_its_own_id(book: Book) -> None:
    headers = {"x-request-id": "0d1c6c3a-0001"}
    for path in ("/api/x", "/public/x"):
        book.service.handle(check_request(path=path, headers=headers))
        book.turn()
        assert shown(book) == [("request_id", "0d1c6c3a-0001")]
        book.metrics.counters.exemplars.clear()


def test_each_slow_check_is_shown_and_no_line_that_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(tmp_path / "audit.jsonl", sample_allowed=0.0)
    book.ask(None, "/public/x")
    book.turn()
    assert shown(book) == [], "an id that leads nowhere"
    monkeypatch.setattr(recorder, "SLOW_NS", 1)
    book.ask(None, "/api/x")
    book.recorder.drain()
    assert [label for label, _ in shown(book)] == ["decision_id"], "a refusal has its line"
    book.lines()


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)


@given(TEXT, TEXT, TEXT, TEXT, st.lists(TEXT.filter(bool), max_size=10), st.integers(0, 10**6))
def test_fragments_make_the_line_that_encode_entry_makes(  # noqa: PLR0917 - hypothesis's
    subject: str, path: str, source: str, kid: str, warnings: list[str], latency_us: int
) -> None:
    entry = AuditEntry(
        at=NOW + 0.5, decision_id="d1", outcome="allow", reason="token_verified", status=200,
        route="api", latency_us=latency_us, method="GET", host="h.example", path=path,
        tenant=TENANT, subject=subject, kid=kid, token_id="t", source=source, principal="",
        key_state="active", token_digest="ab", warnings=tuple(warnings), request_id="r" * 8,
    )  # fmt: skip
    line = encode_allowed_check(
        NOW + 0.5,
        b"d1",
        ground_fragment("token_verified", "api"),
        tenant_fragment(TENANT, subject),
        target_fragment("GET", "h.example", path),
        peer_fragment(source, ""),
        kid_fragment(kid),
        token_fragment("t", "ab", warnings),
        key_state_fragment("active"),
        ids_fragment(b"r" * 8, b""),
        latency_us,
    )
    assert line == encode_entry(entry)
