"""Which lines of the chain the full queue of one of several sinks dropped, until the chain says so.

All sinks get one chain, so what one of them dropped is a gap in its copy alone. A line of the
trail's own names the sink and the numbers, once the sink's queue has room for it: it stands in
that copy too, and checkpoints cover it. What is never said stays a gap that nobody explains.
"""

from collections.abc import Iterable
from typing import NamedTuple

from sidecar.observability.audit.chain import read_link
from sidecar.observability.audit.intake import Intake


class SinkGap(NamedTuple):
    """Lines, from the first to the last, that are in every copy but a sink's."""

    sink: str
    trail: bytes
    first: int
    last: int


class SinkGaps:
    """The gaps that are still to be said, one a sink at most. For the writing thread alone."""

    def __init__(self) -> None:
        self._owed: dict[str, tuple[SinkGap, Intake]] = {}

    def add(self, sink: str, intake: Intake, lines: bytes) -> None:
        """Take note of whole lines that a sink's queue did not take; lines of no chain are not.

        A gap is said as soon as there is room, so what comes next goes on with it. One that did
        not (the sink is another now) would be said wrongly, and is not.
        """
        begin, end = read_link(lines.partition(b"\n")[0]), read_link(_last(lines))
        if begin is None or end is None:
            return
        gap = SinkGap(sink, end.head.trail, begin.head.seq, end.head.seq)
        before = self._owed.get(sink)
        if before is not None and (before[0].trail, before[0].last + 1) == (gap.trail, gap.first):
            gap = gap._replace(first=before[0].first)
        self._owed[sink] = gap, intake

    def owed(self, trail: bytes) -> list[SinkGap]:
        """Return the gaps of this chain that can be said now: the sink's queue has room."""
        return [
            gap for gap, intake in self._owed.values() if gap.trail == trail and not intake.is_full
        ]

    def told(self, gaps: Iterable[SinkGap]) -> None:
        """Forget gaps that were said, unless they have grown since."""
        for gap in gaps:
            if self._owed.get(gap.sink, (None,))[0] == gap:
                del self._owed[gap.sink]


def _last(lines: bytes) -> bytes:
    return lines[lines.rfind(b"\n", 0, -1) + 1 : -1]
