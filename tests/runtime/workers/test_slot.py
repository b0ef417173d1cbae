"""What stays of a worker's former processes."""

from sidecar.runtime.workers.process import Ended
from sidecar.runtime.workers.slot import Slot
from tests.runtime.workers.pooled import Lines, unstarted


async def test_totals_of_ended_processes_stay_and_sizes_do_not() -> None:
    process = unstarted()
    slot = Slot(0, "127.0.0.1:1", Lines())
    slot.process = process
    process.serving, process.applied, process.lost_lines = True, 7, 3
    process.stats.hits, process.stats.connections, process.stats.audit_dropped = 5, 2, 1
    assert (slot.serving, slot.version, slot.stats().connections) == (True, 7, 2)
    slot.retire(process)
    assert (slot.serving, slot.version) == (False, 0)
    total = slot.stats()
    assert (total.hits, total.connections, total.audit_dropped) == (5, 0, 1 + 3)


def test_statistics_are_a_copy() -> None:
    slot = Slot(0, "127.0.0.1:1", Lines())
    slot.stats().hits = 9
    assert slot.stats().hits == 0
    assert slot.restarts == dict.fromkeys(Ended, 0)
