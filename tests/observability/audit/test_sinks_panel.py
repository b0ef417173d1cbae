"""What the page says while a sink or the spool fails: which, why, since when, and what to do."""

from pathlib import Path

from sidecar.config import model
from sidecar.observability.alerts import Severity
from sidecar.observability.audit.sinks_panel import with_sinks
from sidecar.observability.panel import Mark, Panel
from tests.observability.audit.test_sink_set import clickhouse, running, spool_in
from tests.support.clickhouse_server import ClickHouseServer, Fault, serving
from tests.support.waiting import until

EMPTY = Panel("The audit log.")


async def test_a_sink_that_fails_behind_the_spool_is_a_warning(tmp_path: Path) -> None:
    server = ClickHouseServer()
    server.faults = [Fault(503)] * 10_000
    file = model.FileAudit(path=str(tmp_path / "a.jsonl"))
    with serving(server) as url:
        settings = model.Audit(to=(file, clickhouse(url)), spool=spool_in(tmp_path))
        async with running(settings) as run:
            run.write(3)
            await until(lambda: run.delivery("clickhouse").problem)
            await until(lambda: run.delivery("file").delivered == 3)
            await until(lambda: run.delivery("clickhouse").waiting == 3)
            panel = with_sinks(EMPTY, run.sinks)
    (finding,) = panel.findings
    assert (finding.severity, finding.part) == (Severity.WARNING, "audit-sink-clickhouse")
    assert finding.wrong == (
        "The audit sink clickhouse takes no lines: ClickHouse takes no batch: it answers 503."
        " 3 lines wait in the spool."
    )
    assert finding.since is not None
    assert finding.since > 1e9
    assert "audit.to" in finding.do
    (table,) = panel.tables
    assert [row[:6] for row in table.rows] == [
        ("clickhouse", Mark("not taken", Severity.WARNING), 3, 0, 0, 0),
        ("file", Mark("taken"), 0, 3, 0, 0),
    ]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert [name for name, _ in panel.facts] == ["bytes of the spool", "bound of the spool"]


async def test_without_a_spool_it_is_critical() -> None:
    server = ClickHouseServer()
    server.faults = [Fault(503)] * 10_000
    with serving(server) as url:
        async with running(model.Audit(to=clickhouse(url))) as run:
            run.write(1)
            await until(lambda: with_sinks(EMPTY, run.sinks).findings)
            (finding,) = with_sinks(EMPTY, run.sinks).findings
    assert (finding.severity, finding.since) == (Severity.CRITICAL, None)
    assert "in memory, and are lost if it fills" in finding.wrong


async def test_a_spool_that_is_not_written_is_critical(tmp_path: Path) -> None:
    server = ClickHouseServer()
    with serving(server) as url:
        spool = spool_in(tmp_path / "absent")
        async with running(model.Audit(to=clickhouse(url), spool=spool)) as run:
            await until(lambda: run.sinks.spool and "No such file" in run.sinks.spool.problem)
            (finding,) = with_sinks(EMPTY, run.sinks).findings
    assert (finding.severity, finding.part) == (Severity.CRITICAL, "audit-spool")
    assert "key in Vault" in finding.do


async def test_a_file_alone_adds_nothing(tmp_path: Path) -> None:
    async with running(model.Audit(to=model.FileAudit(path=str(tmp_path / "a")))) as run:
        assert with_sinks(EMPTY, run.sinks) is EMPTY
