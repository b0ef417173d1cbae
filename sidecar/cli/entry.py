"""The console script: Ctrl-C ends it quietly from its first moment on.

The modules of a command are imported when it is chosen, which takes a moment. A
``KeyboardInterrupt`` in the middle of an import would show a traceback, or be turned into another
error by an extension module; so until the imports are done, Ctrl-C ends the process at once. This
module imports nothing that takes time itself.
"""

import os
import signal
from importlib import import_module
from types import FrameType

EXIT_INTERRUPTED = 130


def main() -> int:
    """Run one command and return its exit code."""
    quiet = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if quiet:
        signal.signal(signal.SIGINT, _leave)
    command_line = import_module("sidecar.cli.main")

    def imported() -> None:
        if quiet:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    code: int = command_line.main(imported=imported)
    return code


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(EXIT_INTERRUPTED)
