"""What the component of the workers shows of the pool: metrics by worker, health by number."""

import pytest

from sidecar.config import parse_config
from sidecar.context import AppContext
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.refresher import KeyView
from sidecar.observability.audit import AuditLog, DescriptorSink
from sidecar.runtime.check import compile_policies
from sidecar.runtime.workers.component import WorkerChecks, worker_families
from sidecar.runtime.workers.frames import TenantTableFrame
from sidecar.runtime.workers.key_frames import KeysFrame
from sidecar.runtime.workers.process import Ended
from sidecar.runtime.workers.published import Update
from sidecar.tokens.keyring import EMPTY_RING
from sidecar.tokens.mapping import TableSource
from tests.authz.conftest import CONFIG
from tests.observability.rendered import rendered
from tests.runtime.workers.pooled import Pool, unstarted
from tests.runtime.workers.test_published import decode


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


async def test_a_reload_sends_new_tables_before_its_policies_and_takes_old_ones_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At no moment do the policies in force name a table that is not there."""
    context = AppContext(parse_config(CONFIG, "test"))
    audit = AuditLog(DescriptorSink(), queue_lines=10, on_error=lambda _exc: None)
    checks, sent = WorkerChecks(context, audit), list[object]()
    kept, old, new = (TableSource(name, "secret", f"iam/{name}") for name in ("k", "o", "n"))
    checks.publish(KeyView(EMPTY_RING, KeyState.ACTIVE))
    checks.publish_tenant_tables({kept: {}, old: {"acme": "one"}})

    def send(update: Update | None) -> None:
        assert update is not None
        sent.extend(decode([update.frame]))

    monkeypatch.setattr(checks._broadcast, "_send", send)
    prepared = await checks.prepare(compile_policies(context.config))
    checks.commit(prepared, lambda: checks.publish_tenant_tables({kept: {}, new: {"b": "two"}}))
    first, policies, last = sent
    assert first == TenantTableFrame(4, *new, {"b": "two"})
    assert isinstance(policies, KeysFrame)
    assert last == TenantTableFrame(6, *old, None)
    checks.publish_tenant_tables({kept: {"c": "three"}, new: {"b": "two"}})
    assert sent[3:] == [TenantTableFrame(7, *kept, {"c": "three"})]
    assert audit.close(5)
