"""The trail: what the writing thread does to lines between the queue and the sink.

Personal fields are replaced (``pseudonyms``), then the lines are chained (``chain``). What was
lost before, and what is found behind the chain's end (``chain_file``), is said in lines of the
trail's own, which come first in a batch. All of it is done by the thread of ``AuditLog`` alone;
others read ``head``.
"""

import secrets
from collections.abc import Sequence
from typing import NamedTuple

from sidecar.common.clock import Now
from sidecar.observability.audit.chain import (
    BEGAN,
    FOREIGN,
    LOST,
    SINK_DROPPED,
    Head,
    chain_lines,
    read_link,
    trail_line,
)
from sidecar.observability.audit.chain_file import ChainPlace, Resume, Tail, foreign_fields
from sidecar.observability.audit.entry import timestamp
from sidecar.observability.audit.pseudonyms import Pseudonymizer
from sidecar.observability.audit.sink_gaps import SinkGap, SinkGaps

_TRAIL_BYTES = 8


class ChainedBatch(NamedTuple):
    """What is written at once."""

    data: bytes
    own_lines: int = 0
    """How many of its line ends, the first ones, are not of lines of the queue."""
    reopen: bool = False
    """Whether the sink's path is another file now, and must be opened again."""


class Trail:
    """The trail of one audit log. The writing thread calls ``owes``, ``begin`` and ``end``.

    ``is_chained`` is whether lines get links; a trail may replace personal fields alone.
    """

    def __init__(
        self,
        place: ChainPlace,
        now: Now,
        *,
        is_chained: bool = True,
        pseudonyms: Pseudonymizer | None = None,
        gaps: SinkGaps | None = None,
    ) -> None:
        self._now = now
        self._place = place
        self._is_chained = is_chained
        self.head = Head(_name())
        """The last line that was written, for other threads; a tuple that is replaced whole."""
        self.file_changes = 0
        """How often the file was renamed, and another one begun."""
        self._next = self.head
        self._data = b""
        self._told_lost = self._told_before = 0
        self._gaps = gaps or SinkGaps()
        self._telling: list[SinkGap] = []
        self.pseudonyms = pseudonyms
        """What replaces personal fields, if anything does."""
        self.broken = ""
        """What was wrong with the end of the file when it was read last."""

    @property
    def replaces_personal(self) -> bool:
        """Whether personal fields are replaced: who shows lines from before must hide them."""
        return self.pseudonyms is not None

    def use_place(self, place: ChainPlace, *, is_chained: bool) -> None:
        """Chain where another place says, from the next batch on."""
        before, self._place = self._place, place
        self._is_chained = is_chained
        self.head = Head(_name())
        before.close()

    def sync(self) -> None:
        """Have what was written survive a loss of power. Raises ``OSError``."""
        self._place.sync()

    def owes(self, dropped: int) -> bool:
        """Return whether a loss is to be told."""
        if not self._is_chained:
            return False
        return dropped > self._told_lost or bool(self._gaps.owed(self.head.trail))

    def begin(self, lines: Sequence[bytes], dropped: int) -> ChainedBatch:
        """Return what is written for these lines. Raises ``OSError``: the lines are given again.

        ``dropped`` is how many lines were lost until now. What is not written stays to be written
        until ``end`` is called.
        """
        if self.pseudonyms is not None:
            lines = self.pseudonyms.rewrite(lines)
        if not self._is_chained:
            self._data = b"".join(lines)
            return ChainedBatch(self._data)
        resume = self._place.acquire()
        try:
            return self._chain(lines, dropped, resume)
        except BaseException:
            self._place.release()
            raise

    def _chain(self, lines: Sequence[bytes], dropped: int, resume: Resume) -> ChainedBatch:
        own, end = self._own_lines(resume, dropped)
        self._told_before, self._told_lost = self._told_lost, max(dropped, self._told_lost)
        chained, self._next = chain_lines(self.head, [*own, *lines])
        self._data = b"".join([end, *chained])
        self.file_changes += resume.moved
        return ChainedBatch(self._data, len(end) + len(own), resume.moved)

    def _own_lines(self, resume: Resume, dropped: int) -> tuple[list[bytes], bytes]:
        """Return the lines that come first, and a line end that is missing before them."""
        own = []
        end = b""
        now = timestamp(self._now())
        if resume.tail is not None:
            foreign = self._resume(resume.tail)
            if foreign:
                end = b"" if foreign.endswith(b"\n") else b"\n"
                detail = "what stands before this line is no line of the trail: torn by a crash?"
                own.append(trail_line(now, FOREIGN, detail, **foreign_fields(foreign)))
        if resume.before is not None:
            detail = "another trail stands before this one"
            own.append(trail_line(now, BEGAN, detail, after=resume.before.text))
        if dropped > self._told_lost:
            lost = dropped - self._told_lost
            own.append(trail_line(now, LOST, "lines that could not be written", lost=lost))
        self._telling = self._gaps.owed(self.head.trail)
        for sink, _, first, last in self._telling:
            detail = "the queue of this sink was full; other sinks have these lines"
            own.append(trail_line(now, SINK_DROPPED, detail, sink=sink, first=first, last=last))
        return own, end

    def _resume(self, tail: Tail) -> bytes:
        """Go on behind the end of a file; return the bytes there that are no chained line.

        A chain that this process knows never goes back, nor over to another one: what was cut off
        or put in its place is missing from the file, for all to see.
        """
        known, found = self.head, tail.head
        if not known.seq:
            self.head = Head(_name()) if found is None else found
        elif found is not None and found.trail == known.trail and found.seq > known.seq:
            self.head = found
        elif found is not None and found != known:
            self.broken = f"line {known.seq} was written, and the file ends with line {found.seq}"
        if tail.broken_at:
            self.broken = f"line {tail.broken_at} does not follow the one before it"
        return tail.foreign

    def end(self, written: bytes) -> None:
        """Take note that of the batch these whole lines were written, and no more will be."""
        if not self._is_chained:
            return
        whole = len(written) == len(self._data)
        if whole:
            self.head = self._next
        elif (link := read_link(written[written.rfind(b"\n", 0, -1) + 1 : -1])) is not None:
            self.head = link.head
        if not written:
            self._told_lost = self._told_before
        elif whole:
            self._gaps.told(self._telling)
        self._data = b""
        self.file_changes += self._place.release(whole=whole)

    def close(self) -> None:
        """Let go of everything."""
        self._place.close()


def _name() -> bytes:
    return secrets.token_hex(_TRAIL_BYTES).encode()
