"""What the operator reads of the audit log and of refusals: all, by reason, and one's story."""

from dataclasses import dataclass, field

import pytest

from sidecar.observability.alerts import Severity
from sidecar.observability.audit.entry import AuditEntry, encode_entry
from sidecar.observability.audit.log import AuditLog
from sidecar.observability.audit.panel import audit_panel, refusals_panel
from sidecar.observability.audit.refusals import RecentRefusals
from sidecar.observability.audit.sink_watch import SinkWatch
from sidecar.observability.panel import Ask, At, Mark, Panel, PanelLink

NOW = 100_000.0


@dataclass
class World:
    kept: RecentRefusals = field(default_factory=RecentRefusals)
    number: int = 0

    def refuse(self, reason: str, ago: float = 1.0, count: int = 1, **more: object) -> str:
        """Refuse so many requests; return the last one's id."""
        values = {"status": 401, "source": "192.0.2.1", "path": "/orders", **more}
        for _ in range(count):
            self.number += 1
            entry = AuditEntry(
                at=NOW - ago, decision_id=f"{self.number:032x}", outcome="deny", reason=reason,
                route="api", latency_us=5, method="GET", host="a.example", **values,  # type: ignore[arg-type]
            )  # fmt: skip
            self.kept.take(encode_entry(entry))
        return f"{self.number:032x}"

    def panel(self, **query: str) -> Panel:
        return refusals_panel(self.kept, Ask(NOW, query))


def test_the_last_ones_and_how_many_of_each_reason() -> None:
    world = World()
    world.refuse("key_unknown", 900.0, 2)
    wanted = world.refuse("token_expired", detail="expired 41 s ago", tenant="t1")
    panel = world.panel()
    assert panel.summary == "3 requests denied since the start; 1 in the last five minutes."
    lines, reasons = panel.tables
    assert lines.rows[0] == (
        At(NOW - 1), PanelLink("token_expired", "refusals", (("id", wanted),)),
        "GET a.example/orders", "api", "t1", "192.0.2.1", "expired 41 s ago",
    )  # fmt: skip
    assert [row[:2] for row in reasons.rows] == [
        (PanelLink("key_unknown", "refusals", (("reason", "key_unknown"),)), 2),
        (PanelLink("token_expired", "refusals", (("reason", "token_expired"),)), 1),
    ]
    assert all(str(row[2]) for row in reasons.rows)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"reason": "key_unknown"}, 2), ({"reason": "key"}, 0), ({"source": "192.0.2.9"}, 1),
        ({"tenant": "t1", "reason": "token_expired"}, 1), ({"q": "EXPIRED"}, 2), ({"q": "/x"}, 1),
    ],
)  # fmt: skip
def test_those_that_a_query_chooses(query: dict[str, str], found: int) -> None:
    world = World()
    world.refuse("key_unknown", count=2)
    world.refuse("token_expired", tenant="t1", source="192.0.2.9")
    world.refuse("token_expired", path="/x")
    assert world.panel(**query).tables[0].found == found


def test_pages() -> None:
    world = World()
    world.refuse("key_unknown", count=120)
    table = world.panel(page="3").tables[0]
    assert (len(table.rows), table.found) == (20, 120)


def test_the_whole_story_of_one() -> None:
    world = World()
    world.refuse("token_expired", count=3)
    wanted = world.refuse("token_expired", detail="expired 41 s ago", kid="k1", warnings=("w",))
    panel = world.panel(id=wanted)
    facts = dict(panel.facts)
    assert panel.summary == "GET a.example/orders was denied with 401: token_expired."
    assert (facts["kid"], facts["detail"], facts["warnings"]) == ("k1", "expired 41 s ago", "w")
    assert facts["what it means"]
    assert facts["what to do"]
    assert "tenant" not in facts, "what is not known is not there"
    related = {row[0]: row[2] for row in panel.tables[0].rows}
    assert related == {"source": 4, "route": 4, "kid": 1}


def test_one_that_is_not_in_memory_says_where_to_look() -> None:
    assert "sidecar explain" in World().panel(id="0" * 32).summary


FINDINGS = [
    ("few", [("key_unknown", 19, {})], None),
    ("old ones", [("key_unknown", 30, {"ago": 400.0})], None),
    ("most by one reason", [("key_unknown", 30, {}), ("token_expired", 5, {})],
     (Severity.INFO, "refusals/key_unknown")),
    ("no reason above half", [("key_unknown", 20, {}), ("token_expired", 25, {}),
                              ("token_missing", 20, {})], None),
    ("a wrong clock", [("token_issued_in_future", 5, {})], (Severity.WARNING, "refusals/clock")),
    ("one from the future", [("token_issued_in_future", 4, {})], None),
    ("our own fault", [("keys_degraded", 1, {"status": 503}), ("token_expired", 40, {})],
     (Severity.CRITICAL, "refusals/keys_degraded")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("refused", "said"), [f[1:] for f in FINDINGS], ids=[f[0] for f in FINDINGS]
)
def test_what_refusals_say_as_a_whole(
    refused: list[tuple[str, int, dict[str, object]]], said: tuple[Severity, str] | None
) -> None:
    world = World()
    for reason, count, more in refused:
        world.refuse(reason, count=count, **more)  # type: ignore[arg-type]
    findings = world.panel().findings
    assert [(each.severity, each.part) for each in findings] == ([] if said is None else [said])
    assert all(each.since is not None and each.do for each in findings)


def test_no_refusal_is_no_problem() -> None:
    panel = World().panel()
    assert (panel.findings, panel.tables[0].rows) == ((), ())


class Log:
    """An audit log as far as its panel looks."""

    where, problem, failing_since = "file /var/log/audit", "", None
    written, queued, dropped, errors = 10, 0, 0, 0


def audit(log: Log, watch: SinkWatch) -> Panel:
    return audit_panel(log, watch, Ask(NOW))  # type: ignore[arg-type]


def test_a_log_that_is_written() -> None:
    panel = audit(Log(), SinkWatch())
    assert (panel.summary, panel.findings) == ("10 lines written to file /var/log/audit.", ())
    assert dict(panel.facts)["state"] == Mark("written")


def test_a_full_disk() -> None:
    log, watch = Log(), SinkWatch()
    log.problem, log.failing_since, watch.lost = "No space left on device", 5.0, 1200  # type: ignore[assignment]
    (finding,) = audit(log, watch).findings
    assert (finding.severity, finding.since) == (Severity.CRITICAL, 5.0)
    for words in ("/var/log/audit", "No space left on device", "1,200 lines are lost"):
        assert words in finding.wrong


def test_a_sink_that_hangs_and_one_that_is_slow() -> None:
    watch = SinkWatch()
    watch.dropped_at, watch.dropped_since, watch.lost = NOW - 10, NOW - 60, 7
    (slow,) = audit(Log(), watch).findings
    assert (slow.severity, slow.since) == (Severity.WARNING, NOW - 60)
    watch.stalled_since = NOW - 30
    (hangs,) = audit(Log(), watch).findings
    assert (hangs.severity, hangs.since) == (Severity.CRITICAL, NOW - 30)
    watch.stalled_since, watch.dropped_at = None, NOW - 3600
    assert audit(Log(), watch).findings == ()


def test_the_log_itself_has_what_is_looked_at() -> None:
    assert {"where", "problem"} <= set(Log.__dict__)
    log = AuditLog(Nowhere(), queue_lines=16, on_error=lambda _exc: None)
    assert audit_panel(log, SinkWatch(), Ask(NOW)).findings == ()
    log.close(5)


class Nowhere:
    """Takes everything."""

    def write(self, lines: bytes) -> None: ...

    def reopen(self) -> None: ...

    def close(self) -> None: ...


def test_a_single_sink_that_is_away() -> None:
    watch = SinkWatch()
    watch.hear("clickhouse: Connection refused, 1,200 lines wait", NOW - 40)
    (finding,) = audit(Log(), watch).findings
    assert (finding.severity, finding.part, finding.since) == (
        Severity.WARNING, "audit-sinks", NOW - 40,
    )  # fmt: skip
    assert "clickhouse: Connection refused" in finding.wrong
