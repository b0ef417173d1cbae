"""What an operator sees of sinks and spool: counts by outcome, ages, a clause while one fails."""

from pathlib import Path

import pytest
from prometheus_client.core import Metric

from sidecar.config import model
from sidecar.observability.audit.metrics import describe_sinks, sink_families
from tests.observability.audit.test_sink_set import clickhouse, entry, running, spool_in
from tests.support.clickhouse_server import ClickHouseServer, Fault, serving
from tests.support.waiting import until

Samples = dict[tuple[str, tuple[str, ...]], float]


def samples(families: list[Metric]) -> Samples:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


async def test_a_sink_with_a_spool(tmp_path: Path) -> None:
    server = ClickHouseServer()
    file = model.FileAudit(path=str(tmp_path / "a.jsonl"))
    with serving(server) as url:
        settings = model.Audit(to=(file, clickhouse(url)), spool=spool_in(tmp_path))
        async with running(settings) as run:
            run.write(10)
            await until(lambda: len(server.rows) == 10)
            server.faults = [Fault(503)] * 10_000
            run.write(5)
            await until(lambda: "answers 503" in "".join(describe_sinks(run.sinks)))
            await until(lambda: run.delivery("file").delivered == 15)
            found = samples(list(sink_families(run.sinks, lambda: 4e9)))
            assert list(describe_sinks(run.sinks)) == [
                "clickhouse: ClickHouse takes no batch: it answers 503; 5 lines wait"
            ]
    assert found["septem_audit_sink_lines_total", ("clickhouse", "delivered")] == 10
    assert found["septem_audit_sink_lines_total", ("file", "delivered")] == 15
    assert found["septem_audit_sink_lines_waiting", ("clickhouse",)] == 5
    assert found["septem_audit_sink_failing", ("clickhouse",)] == 1
    assert found["septem_audit_sink_failing", ("file",)] == 0
    assert found["septem_audit_sink_errors_total", ("clickhouse",)] >= 1
    assert found["septem_audit_sink_oldest_seconds", ("clickhouse",)] > 1e9
    assert ("septem_audit_sink_oldest_seconds", ("file",)) not in found
    assert found["septem_audit_spool_lines_total", ()] == 15
    assert found["septem_audit_spool_dropped_total", ()] == 0
    assert found["septem_audit_spool_failing", ()] == 0
    assert 0 < found["septem_audit_spool_bytes", ()] < found["septem_audit_spool_max_bytes", ()]


async def test_a_clock_that_was_put_back_makes_no_age_below_zero(tmp_path: Path) -> None:
    server = ClickHouseServer()
    server.faults = [Fault(503)] * 10_000
    with serving(server) as url:
        async with running(model.Audit(to=clickhouse(url), spool=spool_in(tmp_path))) as run:
            run.write(1)
            await until(lambda: list(describe_sinks(run.sinks)))
            found = samples(list(sink_families(run.sinks, lambda: 1.0)))
    assert found["septem_audit_sink_oldest_seconds", ("clickhouse",)] == 0


async def test_refused_and_dropped_lines_have_counts_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = ClickHouseServer()
    with serving(server) as url:
        async with running(model.Audit(to=clickhouse(url))) as run:
            monkeypatch.setitem(server._columns, "latency_us", "String")
            run.log.record(entry(1))
            await until(lambda: run.delivery("clickhouse").refused == 1)
            run.sinks.entries["clickhouse"].intake.dropped = 7  # type: ignore[union-attr]
            found = samples(list(sink_families(run.sinks, lambda: 1.0)))
    outcomes = {
        labels[1]: value for (name, labels), value in found.items() if "sink_lines_t" in name
    }
    assert outcomes == {"delivered": 0, "refused": 1, "dropped": 7, "damaged": 0}
    assert not any(name.startswith("septem_audit_spool") for name, _ in found)


async def test_a_file_alone_has_none(tmp_path: Path) -> None:
    async with running(model.Audit(to=model.FileAudit(path=str(tmp_path / "a")))) as run:
        assert samples(list(sink_families(run.sinks, lambda: 1.0))) == {}
        assert list(describe_sinks(run.sinks)) == []
