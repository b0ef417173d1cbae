"""Numbers of several workers, added up."""

from sidecar.runtime.workers.stats import WorkerStats


def worker(checks: int) -> WorkerStats:
    stats = WorkerStats(
        hits=1,
        misses=2,
        evicted=3,
        audit_dropped=4,
        cpu_seconds=0.5,
        cache_entries=6,
        audit_queued=7,
        connections=8,
        resident_bytes=9,
    )
    for _ in range(checks):
        stats.counters.count_check("allow", "public", "api", 60)
    stats.counters.count_fault()
    stats.counters.count_pii_warning()
    return stats


def test_living_workers_are_added_up_whole() -> None:
    total = WorkerStats()
    total.merge(worker(2))
    total.merge(worker(3))
    assert total.counters.checks == {("allow", "public", "api"): 5}
    assert total.counters.latency.counts[1] == 5
    assert total.counters.latency.sum_us == 300
    assert (total.counters.faults, total.counters.pii_warnings) == (2, 2)
    assert (total.hits, total.misses, total.evicted, total.audit_dropped) == (2, 4, 6, 8)
    assert total.cpu_seconds == 1.0
    assert (len(total), total.audit_queued, total.connections) == (12, 14, 16)
    assert total.resident_bytes == 18


def test_of_one_that_ended_stays_what_only_grows() -> None:
    past = WorkerStats()
    past.add_totals(worker(2))
    assert past.counters.checks == {("allow", "public", "api"): 2}
    assert (past.hits, past.misses, past.evicted, past.audit_dropped) == (1, 2, 3, 4)
    assert (len(past), past.audit_queued, past.connections, past.resident_bytes) == (0, 0, 0, 0)


def test_adding_up_changes_nobody_elses_numbers() -> None:
    one = worker(1)
    WorkerStats().merge(one)
    total = WorkerStats()
    total.merge(one)
    total.merge(worker(5))
    assert one.counters.checks == {("allow", "public", "api"): 1}


def test_what_a_worker_reports_becomes_no_label_of_its_own_making() -> None:
    stats = worker(1)
    stats.counters.count_check("allow", "public", "made-up", 1)
    stats.counters.count_check("allow", "made-up", "api", 1)
    stats.counters.count_check("made-up", "public", "api", 1)
    stats.counters.keep_known({"api"})
    assert stats.counters.checks == {("allow", "public", "api"): 1}
