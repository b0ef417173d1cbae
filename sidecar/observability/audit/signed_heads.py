"""Compares the heads that checkpoints sign with the chain as it is read. Pure.

A checkpoint comes in a line of the trail, some lines behind the one that it names, or from
elsewhere: a file of checkpoints that was kept where who changes the log could not.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sidecar.observability.audit.chain import Head
from sidecar.observability.audit.checkpoint import Note, NoteKey, Verdict, read_note
from sidecar.observability.audit.findings import (
    FindingKind,
    Place,
    TrailFinding,
    TrailReport,
    TrailSummary,
    time_of,
)

MAX_GAPS = 1024
"""Of so many gaps of a trail, the newest, it is remembered that nothing has explained them."""
RECENT_LINES = 65_536
"""The chain values of at least so many lines are kept, of at most twice so many."""
MAX_EXTERNAL = 1_000_000


class TrailState:
    """One chain, as far as it was read."""

    def __init__(self, head: Head, time: str) -> None:
        self.name = head.trail.decode()
        self.middle = b',"trail":"%b","seq":' % head.trail
        self.first_seq = self.seq = head.seq
        self.chain = head.chain
        self.first_time = time
        self.last = b""
        """Its last line."""
        self.missing: list[tuple[int, int]] = []
        self.gaps: dict[tuple[int, int], TrailFinding] = {}
        """The newest gaps that no line has explained, by their first and last number."""
        self.checkpoints = self.signed_to = 0
        self.signed_time = ""
        self._young: dict[int, bytes] = {}
        self._old: dict[int, bytes] = {}
        self.remember(head.seq, head.chain)

    @property
    def summary(self) -> TrailSummary:
        """What is known of it."""
        return TrailSummary(
            self.name,
            self.first_seq,
            self.seq,
            self.first_time,
            time_of(self.last),
            self.checkpoints,
            self.signed_to,
            self.signed_time,
        )

    def remember(self, seq: int, chain: bytes) -> None:
        """Keep the chain value of a line for a while."""
        self._young[seq] = chain
        if len(self._young) >= RECENT_LINES:
            self._old, self._young = self._young, {}

    def recall(self, seq: int) -> bytes | None:
        """Return the chain value of a line, if it was read and is recent."""
        return self._young.get(seq) or self._old.get(seq)

    def forget(self) -> None:
        """Keep the chain values of its lines no longer, nor its gaps."""
        self._young, self._old = {}, {}
        self.gaps = {}

    def add_gap(self, first: int, last: int, found: TrailFinding) -> None:
        """Take note of lines that are missing where they belong."""
        self.missing.append((first, last))
        self.gaps[first, last] = found
        if len(self.gaps) > MAX_GAPS:
            del self.gaps[next(iter(self.gaps))]

    def is_missing(self, seq: int) -> bool:
        """Return whether a line was missing where it belongs."""
        return any(first <= seq <= last for first, last in self.missing)

    def is_forgotten(self, seq: int) -> bool:
        """Return whether a line was read, too long ago."""
        return self.first_seq <= seq <= self.seq - RECENT_LINES


class KeptCheckpoint(NamedTuple):
    """A checkpoint that was read, and where."""

    head: Head
    time: str
    is_signed: bool
    place: Place


class SignedHeads:
    """The checkpoints, and the trails that they are compared with."""

    def __init__(
        self, keys: Sequence[NoteKey], report: TrailReport, max_unsigned_seconds: float
    ) -> None:
        self.trails: dict[bytes, TrailState] = {}
        self._keys = keys
        self._report = report
        self._max_unsigned_seconds = max_unsigned_seconds
        self._external: dict[bytes, list[KeptCheckpoint]] = {}
        """Those from elsewhere that are not compared yet, by trail, the last line first."""
        self._externals = 0

    def add_external(self, note: str, place: Place) -> None:
        """Add a checkpoint that was kept elsewhere."""
        read = self._read(note, place)
        if read is None or self._externals >= MAX_EXTERNAL:
            return
        found, is_signed = read
        self._externals += 1
        head = found.checkpoint.head
        kept = KeptCheckpoint(head, found.checkpoint.time, is_signed, place)
        self._external.setdefault(head.trail, []).append(kept)

    def sort_external(self) -> None:
        """Prepare those that were added."""
        for each in self._external.values():
            each.sort(key=lambda kept: -kept.head.seq)

    def compare(self, note: str, place: Place) -> None:
        """Compare a checkpoint that a line holds with the trail that it names."""
        read = self._read(note, place)
        if read is None:
            return
        found, is_signed = read
        head = found.checkpoint.head
        state = self.trails.get(head.trail)
        if state is None or head.seq < state.first_seq:
            return  # of what is older than these files
        if head.seq > state.seq:
            what = f"it names line {head.seq}, which is not before it"
            self._report.add(
                FindingKind.REWRITTEN, f"a checkpoint does not fit: {what}", place, head.seq
            )
            return
        kept = KeptCheckpoint(head, found.checkpoint.time, is_signed, place)
        self._judge(state, kept, place)

    def compare_external(self, file: str, line: int) -> None:
        """Compare the checkpoints from elsewhere whose lines were read meanwhile.

        ``file`` and ``line`` are where the reading is.
        """
        for trail, waiting in self._external.items():
            state = self.trails.get(trail)
            while state is not None and waiting and waiting[-1].head.seq <= state.seq:
                each = waiting.pop()
                if each.head.seq < state.first_seq:
                    continue
                place = Place(file, max(1, line - (state.seq - each.head.seq)))
                self._judge(state, each, place)

    def finish(self, now: float | None) -> None:
        """Judge what is not compared, and what is not signed."""
        for trail, waiting in self._external.items():
            if waiting:
                self._judge_rest(self.trails.get(trail), waiting[0])
        if self._keys:
            for state in self.trails.values():
                self._judge_unsigned(state)
        newest = max((each.signed_time for each in self.trails.values()), default="")
        if now is not None and self._keys and now - _seconds(newest) > self._max_unsigned_seconds:
            what = f"the newest checkpoint is of {newest}" if newest else "there is no checkpoint"
            self._report.add(
                FindingKind.STALE,
                f"{what}: lines were cut off since, or the sidecar is stopped or can't sign",
                Place("", 0),
            )

    def _read(self, note: str, place: Place) -> tuple[Note, bool] | None:
        """Read a checkpoint, and judge its signature by the keys, if there are any."""
        found = read_note(note)
        if found is None:
            self._report.add(
                FindingKind.UNREADABLE, "this is no checkpoint of an audit trail", place
            )
            return None
        verdict = found.judge(self._keys) if self._keys else None
        if verdict is Verdict.FORGED:
            what = f"the signature of the checkpoint of {found.checkpoint.time} is wrong"
            self._report.add(FindingKind.FORGED, what, place)
            return None
        if verdict is Verdict.KEY_UNKNOWN:
            what = f"the checkpoint of {found.checkpoint.time} is signed with a key that was not "
            self._report.add(FindingKind.KEY_UNKNOWN, what + "given: was the key replaced?", place)
        return found, verdict is Verdict.SIGNED

    def _judge(self, state: TrailState, kept: KeptCheckpoint, place: Place) -> None:
        """Compare a checkpoint with the line that it names, which was read if it is there."""
        head, time, is_signed, source = kept
        chain = state.recall(head.seq)
        if chain == head.chain:
            state.checkpoints += 1
            if is_signed and head.seq > state.signed_to:
                state.signed_to, state.signed_time = head.seq, time
            return
        if chain is None and state.is_forgotten(head.seq):
            what = f"it names line {head.seq}, {state.seq - head.seq} lines before; not compared"
            self._report.add(FindingKind.LATE, f"a checkpoint comes late: {what}", place, head.seq)
            return
        begin = f"from line {state.signed_to + 1} on" if state.signed_to else "up to there"
        where = "" if source.file == place.file else f" in {source.file}"
        what = f"the checkpoint of {time}{where} names another line {head.seq}: "
        self._report.add(
            FindingKind.REWRITTEN, f"{what}lines {begin} were rewritten or removed", place, head.seq
        )

    def _judge_rest(self, state: TrailState | None, last: KeptCheckpoint) -> None:
        """Judge the checkpoint from elsewhere with the highest number, whose line was not read."""
        what = f"the checkpoint of {last.time} names line {last.head.seq} of trail "
        what += last.head.trail.decode()
        if state is None:
            what += ", of which these files have no line: they are removed, or not given"
        else:
            what += f", and these files end with line {state.seq}: the end was cut off"
        self._report.add(FindingKind.CUT, what, last.place, last.head.seq)

    def _judge_unsigned(self, state: TrailState) -> None:
        last = time_of(state.last)
        since = state.signed_time or state.first_time
        if _seconds(last) - _seconds(since) <= self._max_unsigned_seconds and state.signed_to:
            return
        if not state.signed_to:
            what = f"no line of trail {state.name} is signed with a key that was given"
        else:
            what = (
                f"lines {state.signed_to + 1} to {state.seq} of trail {state.name} are not signed: "
                f"the last checkpoint is of {since}, the last line of {last}"
            )
        self._report.add(FindingKind.UNSIGNED, what, Place("", 0, state.last), state.seq)


def _seconds(time: str) -> float:
    """Return a time of a line as Unix seconds; 0 where it is none."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0
