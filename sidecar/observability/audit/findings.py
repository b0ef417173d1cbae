"""What a verification of audit files found: each thing with its place, and all in all."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from sidecar.observability.audit.chain import ID_OFFSET

MAX_FINDINGS = 200
"""So many are kept; the others are counted."""
_TIME_START, _TIME_BYTES = len('{"time":"'), 29
_ID_BYTES = 64


class FindingKind(StrEnum):
    """What was found."""

    ALTERED = "altered"
    MISSING = "missing"
    MOVED = "moved"
    REPEATED = "repeated"
    INSERTED = "inserted"
    SPLICED = "spliced"
    UNCHAINED = "unchained"
    REWRITTEN = "rewritten"
    CUT = "cut"
    FORGED = "checkpoint_forged"
    UNREADABLE = "checkpoint_unreadable"
    KEY_UNKNOWN = "checkpoint_key_unknown"
    LATE = "checkpoint_late"
    UNSIGNED = "unsigned"
    STALE = "stale"
    BEGINS = "begins"
    TRAIL = "trail_begins"
    TORN = "torn"
    LOST = "lost"
    DROPPED = "dropped"


NOTICES = frozenset(
    {
        FindingKind.BEGINS,
        FindingKind.TRAIL,
        FindingKind.TORN,
        FindingKind.LOST,
        FindingKind.DROPPED,
    }
)
"""What is no sign of tampering; everything else is a problem."""


class Place(NamedTuple):
    """Where something was found."""

    file: str
    line: int
    """The number of the line in the file, from 1."""
    text: bytes = b""
    """The line."""
    before: bytes = b""
    """The line before it."""


@dataclass
class TrailFinding:
    """One thing, in one line or in several that follow each other."""

    kind: FindingKind
    text: str
    file: str
    line: int
    last_line: int
    time: str
    decision_id: str
    after_decision_id: str
    seq: int

    @property
    def is_problem(self) -> bool:
        """Whether the trail does not hold."""
        return self.kind not in NOTICES


@dataclass
class TrailSummary:
    """What is known of one chain."""

    trail: str
    first_seq: int
    last_seq: int
    first_time: str
    last_time: str
    checkpoints: int = 0
    """How many checkpoints fit it."""
    signed_to: int = 0
    """The last line that a checkpoint of a given key covers."""
    signed_time: str = ""


@dataclass
class TrailReport:
    """The result."""

    lines: int = 0
    bytes: int = 0
    lost: int = 0
    """The lines that the sidecar itself says it could not write."""
    dropped: int = 0
    """The lines that this copy lacks, and the sidecar itself says that this sink dropped."""
    problems: int = 0
    notices: int = 0
    signatures_checked: bool = False
    trails: list[TrailSummary] = field(default_factory=list)
    findings: list[TrailFinding] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def add(self, kind: FindingKind, text: str, place: Place, seq: int = 0) -> TrailFinding:
        """Add a finding and return it; what goes on in the next line is one with it."""
        last = self.findings[-1] if self.findings else None
        if (
            last is not None
            and (last.kind, last.file, last.last_line) == (kind, place.file, place.line - 1)
            and kind
            in {
                FindingKind.REPEATED,
                FindingKind.MOVED,
                FindingKind.INSERTED,
                FindingKind.SPLICED,
                FindingKind.ALTERED,
            }
        ):
            last.last_line = place.line
            return last
        found = TrailFinding(
            kind,
            text,
            place.file,
            place.line,
            place.line,
            time_of(place.text),
            decision_of(place.text),
            decision_of(place.before),
            seq,
        )
        if found.is_problem:
            self.problems += 1
        else:
            self.notices += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(found)
        return found

    def explain(self, finding: TrailFinding, kind: FindingKind, text: str) -> None:
        """Say of a problem that a later line makes it something that is none."""
        finding.kind, finding.text = kind, text
        self.problems -= 1
        self.notices += 1


def time_of(line: bytes) -> str:
    """Return the time of a line, as it stands there; it is not trusted."""
    if not line.startswith(b'{"time":"'):
        return ""
    return line[_TIME_START : _TIME_START + _TIME_BYTES].decode("ascii", "replace")


def decision_of(line: bytes) -> str:
    """Return the decision's id in a line; it is not trusted."""
    if not line.startswith(b'","decision_id":"', ID_OFFSET - 17):
        return ""
    end = line.find(b'"', ID_OFFSET, ID_OFFSET + _ID_BYTES)
    return line[ID_OFFSET : max(end, ID_OFFSET)].decode("ascii", "replace")
