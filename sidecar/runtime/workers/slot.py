"""One worker's slot: what stays while its processes come and go."""

from sidecar.runtime.workers.output import LineQueue
from sidecar.runtime.workers.process import Ended, WorkerProcess
from sidecar.runtime.workers.stats import WorkerStats


class Slot:
    """A worker's address, its current process, the totals of its former processes."""

    def __init__(self, number: int, address: str, audit: LineQueue) -> None:
        self.audit = audit
        self.number = number
        self.address = address
        self.process: WorkerProcess | None = None
        self.past = WorkerStats()
        self.inode = 0
        """Of its Unix socket, where it listens on one."""
        self.restarts = dict.fromkeys(Ended, 0)

    @property
    def serving(self) -> bool:
        """Whether its process answers Checks."""
        return self.process is not None and self.process.serving

    @property
    def version(self) -> int:
        """The version of the keys that its process uses; 0 for none."""
        return self.process.applied if self.process is not None else 0

    def stats(self) -> WorkerStats:
        """Return this slot's statistics, former processes included."""
        total = WorkerStats()
        total.add_totals(self.past)
        if self.process is not None:
            total.merge(self.process.stats)
        return total

    def retire(self, process: WorkerProcess) -> None:
        """Add the totals of a process that has ended."""
        process.stats.audit_dropped += process.lost_lines
        self.past.add_totals(process.stats)
        self.process = None
