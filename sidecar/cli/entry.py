"""The console script: what must happen in a process before anything else is imported.

The modules of a command are imported when it is chosen, which takes a moment. A
``KeyboardInterrupt`` in the middle of an import would show a traceback, or be turned into another
error by an extension module; so until the imports are done, Ctrl-C ends the process at once. The
signals of ``serve`` are taken by a thread, from here to its end (``sidecar.runtime.signals``). This
module imports nothing that takes time itself.
"""

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType

from sidecar.runtime.signals import take_signals

EXIT_INTERRUPTED = 130
_COMMAND_LINE = "sidecar.cli.main"
_STANDARD_STREAMS = (0, 1, 2)


def main() -> int:
    """Run the command of this process's arguments; return its exit code."""
    reopen_standard_streams()
    if chosen_command(sys.argv[1:]) == "serve":
        signals = take_signals()
        signals.end(import_module(_COMMAND_LINE).main(signals=signals))
    quiet = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if quiet:
        signal.signal(signal.SIGINT, _leave)
    command_line = import_module(_COMMAND_LINE)

    def imported() -> None:
        if quiet:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    code: int = command_line.main(imported=imported)
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


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(EXIT_INTERRUPTED)
