"""Hardening and confinement of the sidecar's processes, which limit what an attacker gains.

``harden_process`` is for every process that serves; ``confine_worker`` is for those that parse
clients' bytes and need only their listener and their channel (SECURITY-MODEL §9, §10). What the
kernel does not support is skipped and named, never silently: see ``Hardening``.
"""

import resource
import sysconfig
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import workload
from sidecar.runtime.hardening.kernel import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    prctl,
)
from sidecar.runtime.hardening.landlock import restrict_self
from sidecar.runtime.hardening.seccomp import refuse_calls, refuse_rings

_PACKAGES = (Path(__file__).parents[2], Path(workload.__file__).parent)
_WORKER_OOM_SCORE, _MAX_OOM_SCORE = 500, 1000
"""What a worker has more than the main process, in thousandths of the memory there is."""
_CODE = ("stdlib", "platstdlib", "purelib", "platlib")


class Hardening(NamedTuple):
    """The measures in force, and the missing ones with reasons. ``str`` is for operators."""

    held: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def __add__(self, other: "Hardening") -> "Hardening":  # type: ignore[override]
        """Return both together."""
        return Hardening((*self.held, *other.held), (*self.missing, *other.missing))

    def __str__(self) -> str:
        """Describe it in one line."""
        held = ", ".join(self.held) or "nothing"
        return held + (f"; missing: {', '.join(self.missing)}" if self.missing else "")


def harden_process() -> Hardening:
    """Forbid new privileges, core dumps and access to this process's memory by the same user.

    Other processes of the same user then can't trace this one, read its memory or its
    environment, or take its descriptors (``PR_SET_DUMPABLE``, prctl(2)); root still can.
    """
    return _all_of(
        ("no new privileges", partial(prctl, PR_SET_NO_NEW_PRIVS, 1)),
        ("no core", partial(resource.setrlimit, resource.RLIMIT_CORE, (0, 0))),
        ("memory closed", partial(prctl, PR_SET_DUMPABLE, 0)),
    )


def adopt_orphans() -> Hardening:
    """Become the parent of orphaned descendants, so that they are recognised as this process's."""
    return _all_of(("subreaper", partial(prctl, PR_SET_CHILD_SUBREAPER, 1)))


def begin_worker() -> Hardening:
    """Harden a process that will be confined; call it before the event loop is created."""
    # Before this process is closed to others: its files in /proc are root's then.
    first = _all_of(("first out of memory", prefer_for_oom_killer))
    return first + harden_process() + _all_of(("no io_uring", refuse_rings))


def prefer_for_oom_killer(file: Path = Path("/proc/self/oom_score_adj")) -> None:
    """Have the kernel end this process before the main one when memory runs out.

    The main process is twice as large, so the kernel would choose it, and with it everything; a
    worker is started again (proc(5), ``oom_score_adj``).
    """
    before = int(file.read_text())
    file.write_text(str(min(before + _WORKER_OOM_SCORE, _MAX_OOM_SCORE)))


def confine_worker() -> Hardening:
    """Give up access to files, other sockets and other processes. Open descriptors stay open.

    Only for a process with one thread: threads that already exist would not be confined.
    """
    return _all_of(("Landlock", partial(restrict_self, code_folders())), ("seccomp", refuse_calls))


def code_folders() -> tuple[Path, ...]:
    """Return the folders of the interpreter's modules and of ours, for late imports."""
    folders = (sysconfig.get_path(name) for name in _CODE)
    return tuple(dict.fromkeys((*map(Path, folders), *_PACKAGES)))


def _all_of(*steps: tuple[str, Callable[[], object]]) -> Hardening:
    held, missing = [], []
    for name, step in steps:
        try:
            result = step()
        except (OSError, ValueError) as exc:
            missing.append(f"{name} ({getattr(exc, 'strerror', None) or exc})")
        else:
            held.append(f"{name} {result}" if result else name)
    return Hardening(tuple(held), tuple(missing))
