"""The last denials, in memory: the audit lines of denied requests, as they are written.

They come from every process that answers Checks. A line is kept whether the sink takes it or not,
so that an operator sees denials while the disk is full. Bounded in lines and in their length.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence

import msgspec

from sidecar.observability.audit.entry import AuditLine, read_line

KEEP_LINES = 512
MAX_LINE_BYTES = 16_384
"""A longer line is not kept: every field of a line is cut, and none that we write is so long."""
_DENIED = b'"outcome":"deny"'
_HIDDEN = {"subject": "", "source": ""}
_HEAD_BYTES = 160
"""Time and id come before the outcome, and are shorter than this."""


class RecentRefusals:
    """The latest lines of denied requests, of all processes."""

    def __init__(self, keep: int = KEEP_LINES) -> None:
        self._lines: deque[bytes] = deque(maxlen=keep)
        self.hides_personal: Callable[[], bool] = lambda: False
        """Whether the log replaces subjects and addresses; its lines here are from before that."""
        self.seen = 0
        """How many there were since the start, kept or not."""

    def __len__(self) -> int:
        return len(self._lines)

    def take(self, line: bytes) -> None:
        """Keep the line of a denied request."""
        self.seen += 1
        if len(line) <= MAX_LINE_BYTES:
            self._lines.append(line)

    def take_denied(self, lines: Sequence[bytes]) -> None:
        """Keep those of several lines that are of denied requests."""
        for line in lines:
            # A quotation mark inside a value is escaped: this is the member itself.
            if line.find(_DENIED, 0, _HEAD_BYTES) > 0:
                self.take(line)

    def latest(self) -> list[AuditLine]:
        """Return them, the latest first; without what is personal where that is hidden."""
        entries = (read_line(line.removesuffix(b"\n")) for line in reversed(self._lines))
        denied = [each for each in entries if each is not None and each.outcome == "deny"]
        if not self.hides_personal():
            return denied
        return [msgspec.structs.replace(each, **_HIDDEN) for each in denied]


def by_reason(entries: Sequence[AuditLine]) -> list[tuple[str, int]]:
    """Return how many there are of each reason, the most first."""
    return Counter(each.reason for each in entries).most_common()
