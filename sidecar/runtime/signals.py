"""SIGTERM, SIGINT and SIGHUP, taken from the first line of the process to its last.

Until a process takes a signal the kernel ends it, or drops the signal if the process is the first
of a container. So the three are blocked before anything else is imported, and a thread waits for
them (sigwait(3)): none is lost, and the start ends in time even while the main thread imports,
or is in a call of C that nothing interrupts, such as a name look-up.

Before the event loop runs nothing is open, and a signal to stop ends the process at once. Then
the loop is asked to end the start; if that takes longer than ``END_SECONDS``, the process ends
all the same. Once it serves, a signal to stop begins the drain.

Imports little: it runs first.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from time import gmtime, strftime
from typing import NoReturn

from sidecar.common.clock import wall_seconds

TAKEN = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
END_SECONDS = 0.7
"""How long an ended start may take to close what it has opened."""
_STDERR = 2
_IMPORTS = "its modules and its configuration to be loaded"


class SignalThread:
    """Takes the signals of this process; one for its life. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._on_stop: Callable[[], None] | None = None
        self._on_hang_up: Callable[[], None] = lambda: None
        self._hang_up_is_due = False
        self._serves = False
        self.stderr = _STDERR
        """Where a line goes that the log can't write any more."""
        self._thread = threading.Thread(target=self._run, name="signals", daemon=True)

    def start(self) -> None:
        """Block the signals in this thread, and all that it starts; take them in another."""
        signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)
        self._thread.start()

    def attach(self, on_stop: Callable[[], None], on_hang_up: Callable[[], None]) -> None:
        """From now on call ``on_stop`` for SIGTERM and SIGINT, ``on_hang_up`` for SIGHUP.

        They are called in the thread of the signals. A SIGHUP that came before is passed on now.
        """
        with self._lock:
            self._on_stop, self._on_hang_up = on_stop, on_hang_up
            is_due, self._hang_up_is_due = self._hang_up_is_due, False
        if is_due:
            on_hang_up()

    def serves(self) -> None:
        """Note that the start is over: a stop is the drain's from now on, and takes its time."""
        self._serves = True

    def end(self, code: int) -> NoReturn:
        """End the process, which has closed what it had opened.

        Taking the interpreter down as well takes a third of a second, in which no thread runs
        that could end a start in time, and frees what the kernel frees anyway.
        """
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)

    def _run(self) -> None:
        while True:
            if signal.sigwait(TAKEN) == signal.SIGHUP:
                self._hang_up()
            else:
                self._stop()

    def _hang_up(self) -> None:
        with self._lock:
            if self._on_stop is None:
                self._hang_up_is_due = True
                return
        self._on_hang_up()

    def _stop(self) -> None:
        with self._lock:
            on_stop = self._on_stop
        if on_stop is None:
            self._end_now(f"stopped while it starts; it waited for {_IMPORTS}")
        on_stop()
        if not self._serves:
            late = threading.Timer(END_SECONDS, self._end_late)
            late.daemon = True  # the interpreter would wait for it at exit
            late.start()

    def _end_late(self) -> None:
        if not self._serves:
            self._end_now(f"the start did not end within {END_SECONDS} s: ended all the same")

    def _end_now(self, message: str) -> NoReturn:
        """End the process with exit code 0, and a line as the log's, which may not be there."""
        now = wall_seconds()
        at = strftime("%Y-%m-%dT%H:%M:%S", gmtime(now)) + f".{int(now % 1 * 1000):03d}+00:00"
        line = f'{{"time":"{at}","level":"info","logger":"sidecar","message":"{message}"}}\n'
        try:
            os.write(self.stderr, line.encode("ascii"))
        finally:
            os._exit(0)


def take_signals() -> SignalThread:
    """Take the signals of this process, in every thread that is started from now on."""
    taken = SignalThread()
    taken.start()
    return taken


def ignore_signals() -> None:
    """Ignore the three from now on, and those that came while they were blocked."""
    for number in TAKEN:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TAKEN)
