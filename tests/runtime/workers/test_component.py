"""What the component of the workers shows of the pool: metrics by worker, health by number."""

import pytest

from sidecar.config import parse_config
from sidecar.context import AppContext
from sidecar.observability.audit import AuditLog, DescriptorSink
from sidecar.runtime.workers.component import WorkerChecks, worker_families
from sidecar.runtime.workers.process import Ended
from tests.authz.conftest import CONFIG
from tests.observability.rendered import rendered
from tests.runtime.workers.pooled import Pool, unstarted


async def test_each_worker_has_its_own_numbers() -> None:
    pool = Pool().pool
    process = pool.slots[1].process = unstarted()
    process.serving, process.applied = True, 3
    process.stats.connections, process.stats.resident_bytes = 4, 5
    process.stats.counters.count_check("deny", "token_expired", "api", 10)
    pool.slots[1].restarts[Ended.HUNG] = 2
    samples = rendered(worker_families(pool))
    assert samples["septem_workers",] == 2
    assert samples["septem_workers_serving",] == 1
    assert samples["septem_snapshot_version",] == 0
    for name, values in {
        "septem_worker_snapshot_version": (0, 3),
        "septem_worker_resident_memory_bytes": (0, 5),
        "septem_worker_connections": (0, 4),
        "septem_worker_checks_total": (0, 1),
        "septem_worker_cpu_seconds_total": (0, 0),
    }.items():
        assert tuple(samples[name, f"worker={n}"] for n in (0, 1)) == values, name
    restarts = "septem_worker_restarts_total"
    assert samples[restarts, "reason=hung", "worker=1"] == 2
    assert samples[restarts, "reason=exited", "worker=1"] == 0


@pytest.mark.parametrize(("serving", "problems"), [(0, ["workers"]), (1, []), (2, [])])
async def test_one_worker_that_serves_is_enough(serving: int, problems: list[str]) -> None:
    text = CONFIG + "listen: {authz: {address: '127.0.0.1:9100', workers: 2}}\n"
    context = AppContext(parse_config(text, "test"))
    audit = AuditLog(DescriptorSink(), queue_lines=10, on_error=lambda _exc: None)
    checks = WorkerChecks(context, audit)
    for slot in checks._pool.slots[:serving]:
        slot.process = unstarted()
        slot.process.serving, slot.process.hardening = True, "seccomp"
    checks._pool._notify_change()
    assert list(context.health.problems) == problems
    assert context.health.facts["workers"] == f"{serving} of 2 serve"
    assert context.health.facts["workers_confined_by"] == ("seccomp" if serving else "")
    assert audit.close(5)
