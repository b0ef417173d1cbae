"""What a process of ours gives up for good, so that less can be had from it.

``harden_process`` is for every process that serves; ``confine_worker`` is for those that read
what clients send and need nothing but their listener and their channel (SECURITY-MODEL §9, §10).
What a kernel does not have is left out and named, never silently: see ``Hardening``.
"""

import resource
import sysconfig
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sidecar.runtime.hardening.kernel import (
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    prctl,
)
from sidecar.runtime.hardening.landlock import restrict_self
from sidecar.runtime.hardening.seccomp import refuse_calls, refuse_rings

_PACKAGE = Path(__file__).parents[2]
_CODE = ("stdlib", "platstdlib", "purelib", "platlib")


class Hardening(NamedTuple):
    """What holds of a process, and what does not, each with why. ``str`` is for operators."""

    held: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def __add__(self, other: "Hardening") -> "Hardening":  # type: ignore[override]
        """Join two."""
        return Hardening((*self.held, *other.held), (*self.missing, *other.missing))

    def __str__(self) -> str:
        """Say it in one line."""
        held = ", ".join(self.held) or "nothing"
        return held + (f"; missing: {', '.join(self.missing)}" if self.missing else "")


def harden_process() -> Hardening:
    """Gain nothing by exec, leave no core, let nobody of our user look into our memory.

    Other processes of the same user then can't trace this one, read its memory or its
    environment, or take its descriptors (``PR_SET_DUMPABLE``, prctl(2)); root still can.
    """
    return _all_of(
        ("no new privileges", partial(prctl, PR_SET_NO_NEW_PRIVS, 1)),
        ("no core", partial(resource.setrlimit, resource.RLIMIT_CORE, (0, 0))),
        ("memory closed", partial(prctl, PR_SET_DUMPABLE, 0)),
    )


def adopt_orphans() -> Hardening:
    """Have what our children leave behind become our children, so that it is known for ours."""
    return _all_of(("subreaper", partial(prctl, PR_SET_CHILD_SUBREAPER, 1)))


def begin_worker() -> Hardening:
    """Harden a process that will be confined; comes before its event loop."""
    return harden_process() + _all_of(("no io_uring", refuse_rings))


def confine_worker() -> Hardening:
    """Give up files, other sockets, other processes. What is open stays open.

    Only for a process of one thread: what was started before would stay as it is.
    """
    return _all_of(("Landlock", partial(restrict_self, code_folders())), ("seccomp", refuse_calls))


def code_folders() -> tuple[Path, ...]:
    """Return where the interpreter's modules and our own are: what a late import reads."""
    folders = (sysconfig.get_path(name) for name in _CODE)
    return tuple(dict.fromkeys((*map(Path, folders), _PACKAGE)))


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
