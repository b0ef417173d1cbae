"""Counts differences by route and tenant, within bounds: a log may have millions of either."""

from collections import Counter
from typing import NamedTuple

import msgspec

from sidecar.replay.compare import Comparison
from sidecar.replay.line import ALLOW, RecordedLine
from sidecar.replay.verdict import ReplayOutcome, ReplayVerdict

MAX_GROUPS = 5000
MAX_TOTALS = 50_000
MAX_SUBJECTS = 500_000
"""Of all groups together; a group that finds no room counts at least so many."""
MAX_EXAMPLES = 3
OTHER = "(other)"
"""The tenant of what is beyond the bound."""
_SAMPLE_LINES = 500
"""So many allowed lines at least are needed to tell a sample."""
_SCALE = 2**24
_WHOLE = 0.97


class GroupKey(NamedTuple):
    """Requests with the same difference."""

    verdict: ReplayVerdict
    tenant: str
    before: ReplayOutcome
    after: ReplayOutcome
    cause: str


class Group(msgspec.Struct, gc=False):
    """How many requests there are of one difference, and which."""

    requests: int = 0
    subjects: int = 0
    are_more: bool = False
    """There may be more subjects: the table of subjects was full."""
    examples: tuple[str, ...] = ()
    first: float = 0.0
    last: float = 0.0


class Tally:
    """What was counted of all lines."""

    def __init__(self) -> None:
        self.replayed = 0
        self.skipped = 0
        self.lost = 0
        """Lines that the log itself says are missing."""
        self.without_inputs = 0
        self.verdicts: Counter[ReplayVerdict] = Counter()
        self.groups: dict[GroupKey, Group] = {}
        self.totals: Counter[tuple[str, str]] = Counter()
        """Requests by the route and the tenant of before."""
        self.unlike: Counter[tuple[str, str]] = Counter()
        """Lines that the old configuration decides otherwise than recorded, by both reasons."""
        self.first = self.last = 0.0
        self._subjects: dict[ReplayVerdict, set[int]] = {each: set() for each in ReplayVerdict}
        self._seen: set[tuple[int, int]] = set()
        self._allowed = 0
        self._highest = 0

    def add(self, line: RecordedLine, found: Comparison) -> None:
        """Count one line."""
        self.replayed += 1
        self.first = min(self.first, line.at) if self.first else line.at
        self.last = max(self.last, line.at)
        verdict, before = found.verdict, found.before
        self.verdicts[verdict] += 1
        if line.outcome == ALLOW:
            self._note_sample(line)
            self.without_inputs += not bytes(line.inputs) and bool(line.tenant)
        total = (before.route, line.tenant)
        if total in self.totals or len(self.totals) < MAX_TOTALS:
            self.totals[total] += 1
        if found.old is not None and _unlike(found.old, line):
            self.unlike[line.shadow_reason or line.reason, found.old.reason] += 1
        if verdict is not ReplayVerdict.SAME:
            self._count(line, found)

    def skip(self) -> None:
        """Count a line that is no decision."""
        self.skipped += 1

    def lose(self, lines: int) -> None:
        """Count lines that are missing, by the chain's own word."""
        self.lost += lines

    def subjects(self, verdict: ReplayVerdict) -> int:
        """Return how many subjects have requests of this kind; at least, where bounds are met."""
        return len(self._subjects[verdict])

    @property
    def sampled_share(self) -> float | None:
        """The share of allowed decisions that the log has; ``None`` where it has all.

        A decision is in a sample by the end of its id (``AuditLog.sampled``), so ids that end
        high are missing from one.
        """
        share = (self._highest + 1) / _SCALE
        return share if self._allowed >= _SAMPLE_LINES and share < _WHOLE else None

    def _note_sample(self, line: RecordedLine) -> None:
        try:
            self._highest = max(self._highest, int(line.decision_id[-6:], 16))
        except ValueError:
            self._highest = _SCALE
        self._allowed += 1

    def _count(self, line: RecordedLine, found: Comparison) -> None:
        verdict, before, after, cause, _ = found
        key = GroupKey(verdict, line.tenant, before, after, cause)
        group = self.groups.get(key)
        if group is None:
            if len(self.groups) >= MAX_GROUPS:
                key = GroupKey(verdict, OTHER, _ANY, _ANY, "")
            group = self.groups.setdefault(key, Group(first=line.at))
        group.requests += 1
        group.first, group.last = min(group.first, line.at), max(group.last, line.at)
        if len(group.examples) < MAX_EXAMPLES:
            group.examples = (*group.examples, line.decision_id)
        if line.subject:
            self._count_subject(verdict, key, group, hash((line.tenant, line.subject)))

    def _count_subject(
        self, verdict: ReplayVerdict, key: GroupKey, group: Group, subject: int
    ) -> None:
        seen = (hash(key), subject)
        if seen in self._seen:
            return
        if len(self._seen) >= MAX_SUBJECTS:
            group.are_more = True
            return
        self._seen.add(seen)
        self._subjects[verdict].add(subject)
        group.subjects += 1


_ANY = ReplayOutcome("unknown", "", 0, OTHER)


def _unlike(old: ReplayOutcome, line: RecordedLine) -> bool:
    if (old.access == ALLOW) != (line.outcome == ALLOW):
        return True
    return old.is_certain and (old.reason, old.shadowed) != (line.reason, line.shadow_reason)
