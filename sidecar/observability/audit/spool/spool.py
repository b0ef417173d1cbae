"""The thread that appends to the spool, and opens it first: the lock, the key, then the files.

A key that can't be had, a full disk, a folder that another sidecar still has: each is tried again
while lines wait in the intake, which is bounded. Nothing waits for this thread.
"""

import logging
import threading
from collections.abc import Iterable
from pathlib import Path

from sidecar.common.clock import Now
from sidecar.common.polling import describe
from sidecar.observability.audit.intake import Batch, Intake
from sidecar.observability.audit.spool.keys import SpoolKeys, SpoolKeyStore
from sidecar.observability.audit.spool.reader import SpoolReader
from sidecar.observability.audit.spool.segments import FolderLock, make_folder
from sidecar.observability.audit.spool.store import SpoolFullError, SpoolStore

RECORD_LINES = 1024
RECORD_BYTES = 1_048_576
_BATCHES_A_SYNC = 16
_POLL_SECONDS = 0.1
_RETRY_SECONDS = 1.0
_FULL = "it is full: lines are dropped until a sink has got on"

_log = logging.getLogger("sidecar.observability.audit")


class Spool:
    """An intake, a thread, and the store that it fills. ``put`` never waits."""

    def __init__(
        self,
        folder: Path,
        keys: SpoolKeyStore,
        *,
        max_bytes: int,
        intake: Intake,
        sinks: Iterable[str],
        now: Now,
    ) -> None:
        self.intake = intake
        self.store = SpoolStore(folder, SpoolKeys(keys), max_bytes, now)
        self.problem = ""
        """Why lines are not being spooled; empty while they are, and while it is being opened."""
        self.spooled = 0
        self.dropped_full = 0
        """Lines that were dropped because the bound of the spool was reached."""
        self._folder = folder
        self._lock = FolderLock(folder)
        self._sinks = tuple(sinks)
        self._opened = threading.Event()
        self._closing = threading.Event()
        self._held: list[Batch] = []
        """What was taken from the intake and is not on the disk yet."""
        self._thread = threading.Thread(target=self._run, name="audit-spool", daemon=True)

    def start(self) -> None:
        """Begin to open it."""
        self._thread.start()

    @property
    def is_open(self) -> bool:
        """Whether its folder and its key are had, so that sinks can read."""
        return self._opened.is_set()

    @property
    def dropped(self) -> int:
        """Lines that are not in it, and should be."""
        return self.intake.dropped + self.dropped_full

    def reader(self, name: str) -> SpoolReader | None:
        """Return a sink's way through it; ``None`` until it is open and keeps lines for it."""
        is_kept = self.is_open and self.store.cursor(name) is not None
        return SpoolReader(self.store, name) if is_kept else None

    def use_sinks(self, sinks: Iterable[str]) -> None:
        """Keep lines for these sinks from now on."""
        self._sinks = tuple(sinks)
        if self.is_open:
            self.store.use_sinks(self._sinks)

    def stop(self) -> None:
        """Write what has been put in, and end; ``join`` waits for that."""
        self._closing.set()
        self.intake.wake.set()

    def join(self, timeout_seconds: float) -> bool:
        """Return whether it has ended, with every line on the disk."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive() and not self.intake.waiting

    def release(self) -> None:
        """End the store, once no sink reads it, and let another process have the folder."""
        if self.is_open and not self._thread.is_alive():
            self._opened.clear()
            self.store.close()
            self._lock.release()

    def _run(self) -> None:
        while True:
            try:
                if not self.is_open:
                    self._open()
                is_idle = not self.is_open or not self._append_waiting()
            except Exception as exc:  # noqa: BLE001 - the thread's edge: it goes on with the next attempt
                self._failed(exc)
                if self._closing.wait(_RETRY_SECONDS):
                    break
                continue
            if is_idle and self._closing.is_set():
                break
            if is_idle:
                self.intake.wake.wait(_POLL_SECONDS)
                self.intake.wake.clear()
        if lost := self.intake.give_up():
            _log.error("%d audit lines were lost: they could not be spooled", lost)

    def _open(self) -> None:
        """Open the store if nobody else has the folder. Raises ``OSError``."""
        make_folder(self._folder)
        if not self._lock.acquire():
            self.problem = f"another process has {self._folder}: it is waited for"
            return
        self.store.open(self._sinks)
        self.problem = ""
        self._opened.set()
        self.store.use_sinks(self._sinks)  # a reload may have named others meanwhile

    def _append_waiting(self) -> bool:
        """Append what waits, then put all of it on the disk; return whether there was anything.

        Raises ``OSError``: nothing of it is in the spool then, and it is tried again.
        """
        while len(self._held) < _BATCHES_A_SYNC and (
            batch := self.intake.take(RECORD_LINES, RECORD_BYTES)
        ):
            self._held.append(batch)
        if not self._held:
            return False
        if not self._lock.is_held:
            self._take_folder_again()
        refused = sum(batch.line_count for batch in self._held if not self._append(batch))
        self.store.sync()
        for batch in self._held:
            self.intake.done(batch)
        self.spooled += sum(batch.line_count for batch in self._held) - refused
        self.dropped_full += refused
        self.problem = _FULL if refused else ""
        self._held.clear()
        return True

    def _take_folder_again(self) -> None:
        """Make the folder that was removed or moved, and lock it. Raises ``OSError``."""
        _log.error("the folder of the spool, %s, was removed: it is made again", self._folder)
        make_folder(self._folder)
        if not self._lock.acquire():
            raise OSError(0, "another process has made the folder of the spool its own")
        self.store.begin_again()

    def _append(self, batch: Batch) -> bool:
        """Return false where the spool is full."""
        try:
            self.store.append(batch.lines, batch.line_count)
        except SpoolFullError:
            return False
        return True

    def _failed(self, exc: Exception) -> None:
        problem = describe(exc)
        if problem != self.problem:
            _log.error("audit lines can't be spooled in %s: %s", self._folder, problem)
        self.problem = problem
