"""Makes signed checkpoints: at the start, at each interval, after a rotation, and at the stop.

A checkpoint covers every line before it, so none is made up for: while Vault is away the chain
goes on, and the next checkpoint covers what had none. Each is a line of the trail, and so comes
to every receiver of it; it is also appended to a file, and served by the admin port, so that
somebody else can keep it.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from sidecar.common.polling import PollStatus
from sidecar.common.private_file import open_to_append
from sidecar.config import model
from sidecar.observability.alerts import Alert, Severity
from sidecar.observability.audit.chain import CHECKPOINT, Head, trail_line
from sidecar.observability.audit.checkpoint import Cause, Checkpoint
from sidecar.observability.audit.entry import timestamp
from sidecar.observability.audit.sinks import write_all

LATE_LINES = 50_000
"""A signature that comes later is not used: who verifies remembers 65,536 lines."""
_TICK_SECONDS = 1.0
_RETRY_SECONDS = 10.0
_STOP_SECONDS = 3.0
_DRAIN_TICK_SECONDS = 0.02
OVERDUE_INTERVALS = 5
_log = logging.getLogger("sidecar.audit_trail")


class CheckpointFault(Fault):
    """A checkpoint can't be made or kept."""

    retryable = True


class ChainedLog(Protocol):
    """The audit log, as far as checkpoints need it; ``AuditLog`` is one."""

    lines_in: int

    @property
    def settled(self) -> int:
        """How many of the ``lines_in`` lines are written or given up."""

    def append(self, line: bytes) -> None:
        """Queue a line."""


class Chain(Protocol):
    """The chain; ``Trail`` is one."""

    head: Head
    file_changes: int

    def sync(self) -> None:
        """Have what was written survive a loss of power. Raises ``OSError``."""


class Made(NamedTuple):
    """A checkpoint that was made."""

    note: str
    seq: int
    at: float


class CheckpointMaker:
    """Makes them until it is cancelled. ``sign`` raises a ``Fault``; ``say`` raises an alert."""

    def __init__(
        self,
        settings: model.CheckpointSettings,
        log: ChainedLog,
        chain: Chain,
        *,
        sign: Callable[[Checkpoint], Awaitable[str]],
        origin: str,
        now: Now,
        clock: Now,
        say: Callable[[Alert], None],
    ) -> None:
        self._settings = settings
        self._audit = log
        self._chain = chain
        self._sign = sign
        self._origin = origin
        self._now = now
        self._clock = clock
        self._say = say
        self.last: Made | None = None
        self.made: dict[str, int] = dict.fromkeys(Cause, 0)
        self.status = PollStatus(
            "audit_checkpoints",
            f"transit key {settings.mount}/{settings.key}, which signs checkpoints of the audit "
            "trail,",
            _log,
            kept="the chain goes on, and the next checkpoint covers it",
        )
        self._signed_at = clock()
        """When the last one was made, or the sidecar was started (monotonic seconds)."""
        self._tried_at = float("-inf")
        self._changes = chain.file_changes
        self._is_overdue = False

    @property
    def age_seconds(self) -> float:
        """How old the last checkpoint is, or how long there has been none."""
        return self._clock() - self._signed_at

    async def run(self) -> None:
        """Make them until cancelled."""
        while True:
            cause = self._due()
            if cause is not None:
                await self.make(cause)
            self._watch()
            await asyncio.sleep(_TICK_SECONDS)

    def _due(self) -> Cause | None:
        """Return why a checkpoint is to be made now; ``None`` if none is."""
        if not self._chain.head.seq:
            return None  # nothing was written yet
        since = self._clock() - self._tried_at
        if self.status.problem:
            return Cause.INTERVAL if since >= min(_RETRY_SECONDS, self._settings.seconds) else None
        if self.last is None:
            return Cause.START
        if self._chain.file_changes != self._changes:
            return Cause.ROTATION
        return Cause.INTERVAL if since >= self._settings.seconds else None

    async def make(self, cause: Cause) -> None:
        """Make one; whatever fails is counted and said in the status."""
        self._tried_at = self._clock()
        changes = self._chain.file_changes
        with self.status.poll():
            await self._make(cause)
            self.made[cause] += 1
            self._signed_at = self._clock()
            self._changes = changes

    async def _make(self, cause: Cause) -> None:
        head = self._chain.head
        await asyncio.to_thread(self._chain.sync)
        now = self._now()
        note = await self._sign(Checkpoint(self._origin, head, timestamp(now), cause))
        if self._chain.head.trail == head.trail and self._chain.head.seq - head.seq > LATE_LINES:
            raise CheckpointFault(
                f"Vault signed a checkpoint when {self._chain.head.seq - head.seq} lines had "
                "followed; another one is made"
            )
        self.last = Made(note, head.seq, now)
        self._audit.append(trail_line(timestamp(now), CHECKPOINT, "", note=note))
        if self._settings.file is not None:
            await asyncio.to_thread(_append, Path(self._settings.file), note)

    def _watch(self) -> None:
        """Say when there has been no checkpoint for long, and when there is one again."""
        longest = max(300.0, OVERDUE_INTERVALS * self._settings.seconds)
        is_overdue = self.age_seconds > longest and self._chain.head.seq > 0
        if is_overdue == self._is_overdue:
            return
        self._is_overdue = is_overdue
        if is_overdue:
            why = self.status.problem or "see the log"
            said = f"the audit trail has had no checkpoint for {self.age_seconds:.0f} s: {why}"
            self._say(Alert(Severity.CRITICAL, "audit", "checkpoint_overdue", said))
        else:
            said = "the audit trail has checkpoints again"
            self._say(Alert(Severity.INFO, "audit", "checkpoint_made", said))

    async def stop(self) -> None:
        """Make the last one, when what is queued is written; within a few seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                while self._audit.settled < self._audit.lines_in:  # noqa: ASYNC110 - a thread writes
                    await asyncio.sleep(_DRAIN_TICK_SECONDS)
                if self._chain.head.seq:
                    await self.make(Cause.STOP)


def _append(path: Path, note: str) -> None:
    """Append a note to the file that keeps them. Raises ``CheckpointFault``."""
    try:
        descriptor = open_to_append(path)
        try:
            write_all(descriptor, note.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise CheckpointFault(f"the checkpoint can't be kept in {path}: {exc.strerror}") from None
