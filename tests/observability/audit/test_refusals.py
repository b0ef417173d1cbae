"""Which lines are kept as the last refusals: those of denied requests, bounded, as written."""

import threading

import pytest

from sidecar.observability.audit.chain_file import MemoryPlace
from sidecar.observability.audit.entry import AuditEntry, encode_entry
from sidecar.observability.audit.log import AuditLog
from sidecar.observability.audit.pseudonyms import Pseudonymizer
from sidecar.observability.audit.refusals import MAX_LINE_BYTES, RecentRefusals, by_reason
from sidecar.observability.audit.sinks import Sink
from sidecar.observability.audit.trail import Trail


def line(number: int = 0, outcome: str = "deny", **more: str) -> bytes:
    return encode_entry(entry(number, outcome, **more))


def entry(
    number: int = 0,
    outcome: str = "deny",
    *,
    reason: str = "token_expired",
    detail: str = "",
    path: str = "",
    subject: str = "",
    source: str = "",
) -> AuditEntry:
    return AuditEntry(
        at=1000.0 + number, decision_id=f"{number:032x}", outcome=outcome, status=401,
        latency_us=5, route="api", reason=reason, detail=detail, path=path,
        subject=subject, source=source,
    )  # fmt: skip


class FullSink(Sink):
    """Never takes a batch."""

    def __init__(self) -> None:
        self.tried = threading.Event()

    def write(self, _lines: bytes) -> None:
        self.tried.set()
        raise OSError(28, "No space left on device")

    def reopen(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""


def test_the_latest_come_first_and_old_ones_make_room() -> None:
    kept = RecentRefusals(keep=3)
    kept.take_denied([line(number) for number in range(5)])
    assert [int(each.decision_id, 16) for each in kept.latest()] == [4, 3, 2]
    assert (kept.seen, len(kept)) == (5, 3)


@pytest.mark.parametrize(
    "other",
    [
        line(outcome="allow"),
        line(outcome="allow", detail='"outcome":"deny"'),
        line(outcome="allow", path='/"outcome":"deny"'),
        b"not json\n",
        b'{"outcome":"deny"}\n',
        b"",
    ],
)
def test_nothing_else_is_kept(other: bytes) -> None:
    kept = RecentRefusals()
    kept.take_denied([other, line(7)])
    assert [int(each.decision_id, 16) for each in kept.latest()] == [7]


def test_a_line_longer_than_any_of_ours_is_counted_and_not_kept() -> None:
    kept = RecentRefusals()
    kept.take(b"x" * (MAX_LINE_BYTES + 1))
    assert (kept.seen, len(kept)) == (1, 0)


def test_what_is_kept_is_redacted_as_the_line_is() -> None:
    kept = RecentRefusals()
    token = f"/a?t=eyJhbGciOiJFUzI1NiJ9.{'a' * 40}.{'b' * 86}"
    kept.take(line(path=token))
    assert "eyJ" not in kept.latest()[0].path


def test_what_the_log_replaces_is_hidden() -> None:
    """Its lines come here before subjects and addresses are replaced by pseudonyms."""
    kept = RecentRefusals()
    kept.take(line(subject="user-42", source="192.0.2.1"))
    assert (kept.latest()[0].subject, kept.latest()[0].source) == ("user-42", "192.0.2.1")
    kept.hides_personal = lambda: True
    assert (kept.latest()[0].subject, kept.latest()[0].source) == ("", "")


def test_a_trail_that_replaces_what_is_personal_says_so() -> None:
    trail = Trail(MemoryPlace(), lambda: 0.0, is_chained=False)
    assert not trail.replaces_personal
    pseudonyms = Pseudonymizer(lambda: 0.0)
    trail = Trail(MemoryPlace(), lambda: 0.0, is_chained=False, pseudonyms=pseudonyms)
    assert trail.replaces_personal


def test_reasons_are_counted_the_most_first() -> None:
    kept = RecentRefusals()
    kept.take_denied([line(0), line(1, reason="key_unknown"), line(2, reason="key_unknown")])
    assert by_reason(kept.latest()) == [("key_unknown", 2), ("token_expired", 1)]


def test_a_full_disk_keeps_no_refusal_from_being_seen() -> None:
    kept, sink = RecentRefusals(), FullSink()
    log = AuditLog(sink, queue_lines=2, on_error=lambda _exc: None, refusals=kept, now=lambda: 5.0)
    for number in range(4):
        log.record(entry(number))
    log.record(entry(9, "allow"))
    assert sink.tried.wait(5)
    assert len(kept) == 4
    log.close(5)
    assert (log.problem, log.failing_since) == ("No space left on device", 5.0)


def test_lines_of_other_processes_are_kept_once_they_are_queued() -> None:
    kept = RecentRefusals()
    log = AuditLog(FullSink(), queue_lines=2, on_error=lambda _exc: None, refusals=kept)
    lines = [line(number) for number in range(3)]
    taken = log.record_lines(lines)
    assert [int(each.decision_id, 16) for each in kept.latest()] == list(range(taken))[::-1]
    log.close(5)
