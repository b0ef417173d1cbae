"""What stays of a worker's former processes."""

import socket
from pathlib import Path

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


def test_a_worker_binds_a_fresh_name_that_is_renamed_when_it_listens(tmp_path: Path) -> None:
    slot = Slot(0, f"unix:{tmp_path}/a", Lines())
    for listens in (True, False):
        bound = Path(slot.next_address().removeprefix("unix:"))
        assert bound.parent == tmp_path
        assert bound.name != "a"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(bound))
            if listens:
                slot.put_in_place()
            slot.forget_bound()
        assert bound.exists() is False
        assert [each.name for each in tmp_path.iterdir()] == ["a"]
    slot.remove_socket()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_binds_a_port_as_it_is() -> None:
    slot = Slot(0, "127.0.0.1:1", Lines())
    assert slot.next_address() == "127.0.0.1:1"
    slot.put_in_place()
    slot.forget_bound()
    slot.remove_socket()
