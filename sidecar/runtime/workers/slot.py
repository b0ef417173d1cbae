"""One worker's slot: what stays while its processes come and go."""

from collections import deque
from pathlib import Path
from typing import NamedTuple

from sidecar.runtime.workers.output import LineQueue
from sidecar.runtime.workers.process import Ended, WorkerProcess
from sidecar.runtime.workers.stats import WorkerStats
from sidecar.transport.sockets import (
    fresh_name,
    path_of,
    put_in_place,
    remove_own_socket,
    remove_stale_socket,
)

KEPT_ENDS = 20


class WorkerEnd(NamedTuple):
    """The end of a process: when (Unix seconds), how, and in words."""

    at: float
    ended: Ended
    why: str


class Slot:
    """A worker's address, its current process, the totals of its former processes."""

    def __init__(self, number: int, address: str, audit: LineQueue) -> None:
        self.audit = audit
        self.number = number
        self.address = address
        self.process: WorkerProcess | None = None
        self.past = WorkerStats()
        self._bound: Path | None = None
        """Where its process binds a Unix socket, until it listens."""
        self._inode = 0
        """Of its Unix socket, once it listens."""
        self.restarts = dict.fromkeys(Ended, 0)
        self.ends: deque[WorkerEnd] = deque(maxlen=KEPT_ENDS)
        self.serving_since: float | None = None
        """Since when its process answers Checks (Unix seconds)."""

    @property
    def serving(self) -> bool:
        """Whether its process answers Checks."""
        return self.process is not None and self.process.serving

    @property
    def version(self) -> int:
        """The version of the keys that its process uses; 0 for none."""
        return self.process.applied if self.process is not None else 0

    def next_address(self) -> str:
        """Return the address that its next process binds: a Unix socket under a fresh name."""
        path = path_of(self.address)
        if path is None:
            return self.address
        self._bound = fresh_name(path)
        return f"unix:{self._bound}"

    def put_in_place(self) -> None:
        """Give the Unix socket, which listens now, its name. Raises ``OSError``.

        A confined worker can do neither this nor remove its socket.
        """
        path = path_of(self.address)
        if path is not None and self._bound is not None:
            self._inode = put_in_place(self._bound, path)

    def forget_bound(self) -> None:
        """Remove the Unix socket of a process that has ended before it listened."""
        if self._bound is not None:
            remove_stale_socket(self._bound)
            self._bound = None

    def remove_socket(self) -> None:
        """Remove its Unix socket, unless a successor has put its own there."""
        if (path := path_of(self.address)) is not None:
            remove_own_socket(path, self._inode)

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
        self.process, self.serving_since = None, None


def why_ended(process: WorkerProcess, ended: Ended) -> str:
    """Return in words why a process ended."""
    if process.refusal:
        return process.refusal
    match ended:
        case Ended.ASKED:
            return "an operator asked for it"
        case Ended.HUNG:
            return "it hung, and was killed"
        case Ended.BROKE_PROTOCOL:
            return "it violated the protocol, and was killed"
        case Ended.EXITED:
            return f"it ended with exit code {process.exit_code}"
