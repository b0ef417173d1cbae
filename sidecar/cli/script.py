"""The console script: what must happen in a process before anything else is imported."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from sidecar.runtime.signals import take_signals

_STANDARD_STREAMS = (0, 1, 2)


def main() -> int:
    """Run the command of this process's arguments; return its exit code."""
    reopen_standard_streams()
    signals = take_signals() if chosen_command(sys.argv[1:]) == "serve" else None
    code: int = import_module("sidecar.cli.main").main(signals=signals)
    if signals is not None:
        signals.end(code)
    return code


def chosen_command(arguments: Sequence[str]) -> str | None:
    """Return the first word that is no option; ``None`` without one."""
    return next((word for word in arguments if not word.startswith("-")), None)


def reopen_standard_streams() -> None:
    """Open ``/dev/null`` as each of standard input, output and error that is closed.

    Otherwise the next file or socket would get its number: the log would be written into it, and
    libuv aborts the process when it closes one of the three.
    """
    for number in _STANDARD_STREAMS:
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken, and those below are open.
            opened = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(opened, True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115 - a descriptor
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8")  # noqa: SIM115 - a descriptor
