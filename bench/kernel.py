"""What the kernel's books say about a process.

CPU is the scheduler's own account of all threads (``/proc/<pid>/task/*/schedstat``, first
field, nanoseconds on a CPU), so it does not matter how busy the machine is otherwise. A
thread that ends takes its account with it: the servers measured here keep theirs.
"""

import contextlib
import ctypes
from collections.abc import Iterable
from pathlib import Path

_PR_SET_TIMERSLACK = 29


def cpu_seconds(pid: int) -> float:
    """CPU of all threads of a process so far."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def cpu_of(pids: Iterable[int]) -> float:
    """CPU of several processes together."""
    return sum(cpu_seconds(pid) for pid in pids)


def rss_mb(pid: int) -> float:
    """Resident memory of a process in megabytes (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit(f"process {pid} has gone")


def wake_on_time() -> None:
    """Ask for timers without the kernel's usual slack of 50 µs, for a client that paces."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
