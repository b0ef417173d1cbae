"""How a worker process is started: its program, its environment, its channel and its pipes.

It is a fresh interpreter, never a fork of this one: it has nothing of this process's memory. It
gets one end of a socket pair as standard input, a pipe as standard output, and only the
environment variables that an interpreter needs.
"""

import os
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

import sidecar
from sidecar.runtime.signals import TAKEN

_ROOT = str(Path(sidecar.__path__[0]).parent)
COMMAND = (sys.executable, "-m", "sidecar.runtime.workers.main")
_PASSED_VARIABLES = ("PATH", "LANG", "TZ")
_PASSED_PREFIXES = ("LC_", "LD_", "MALLOC_", "PYTHON")


def spawn(
    command: Sequence[str], inherited: Sequence[int] = ()
) -> tuple["subprocess.Popen[bytes]", socket.socket]:
    """Start a worker; return it and this process's end of its channel. Raises ``OSError``.

    It gets the ``inherited`` descriptors under their own numbers.

    Popen instead of the event loop's own function: uvloop forks, which copies this process's page
    tables and runs grpcio's fork handlers; Popen does neither (vfork), and returns at the exec.
    The child is born with the signals blocked that it will ignore: one that the whole group gets
    while it loads its modules does not end it.
    """
    parent_end, child_end = socket.socketpair()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)
    try:
        child = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=child_end.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=worker_environment(os.environ),
            start_new_session=True,
            pass_fds=tuple(inherited),
        )
    except OSError:
        parent_end.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        child_end.close()
    return child, parent_end


def worker_environment(environment: Mapping[str, str], root: str = _ROOT) -> dict[str, str]:
    """Return the environment of a worker: a few variables, and the path of the sidecar's code.

    Secrets in this process's environment, which the documents advise against, are not passed
    on. The code is imported from where this process has it, and never from the working
    directory; where it is installed, the interpreter finds the folder itself (and
    ``PYTHONPATH`` would put it before the standard library).
    """
    passed = {
        name: value
        for name, value in environment.items()
        if name in _PASSED_VARIABLES or name.startswith(_PASSED_PREFIXES)
    }
    passed.pop("PYTHONPATH", None)
    if root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        passed["PYTHONPATH"] = root
    return {**passed, "PYTHONSAFEPATH": "1"}
