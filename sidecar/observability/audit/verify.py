"""Verifies audit files: each line follows the one before it, and each checkpoint fits. Pure.

Lines are taken one after another, so a file of any size is read in one pass and with bounded
memory. Each place where something does not fit is told once: what stands there is then gone on
from, so that one altered line is one finding. The chain alone finds who does not know it; who
does can reckon it anew, and is found by the signed checkpoints (``signed_heads``).
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

import msgspec

from sidecar.observability.audit.chain import (
    BEGAN,
    CHECKPOINT,
    FOREIGN,
    ID_OFFSET,
    ID_PREFIX,
    LINK_BYTES,
    LOST,
    NO_CHAIN,
    SINK_DROPPED,
    ChainLink,
    Head,
    TrailLine,
    chain_of,
    read_link,
    read_trail_line,
)
from sidecar.observability.audit.checkpoint import NoteKey
from sidecar.observability.audit.findings import FindingKind, Place, TrailReport, time_of
from sidecar.observability.audit.foreign import ForeignBytes
from sidecar.observability.audit.signed_heads import SignedHeads, TrailState

MAX_LINE_BYTES = 1_048_576
"""What is longer is no line of a trail."""
MAX_TRAILS = 1024
REMEMBERED_TRAILS = 16
"""Of so many, the newest ones, the chain values of recent lines are kept."""
_OWN = ID_PREFIX.encode()
_MAX_TEXT, _MAX_SINK = 1000, 64
_CHAIN = b',"chain":"'


class Verifier:
    """Reads files in the order in which they were written, then ``finish``es."""

    def __init__(
        self,
        keys: Sequence[NoteKey] = (),
        *,
        max_unsigned_seconds: float = 600.0,
        sink: str = "",
    ) -> None:
        """``sink`` names the one of several whose copy these files are, if that is known."""
        self._sink = sink
        self.report = TrailReport(signatures_checked=bool(keys))
        self.signed = SignedHeads(keys, self.report, max_unsigned_seconds)
        self._trails = self.signed.trails
        self._state: TrailState | None = None
        """The trail of the last line."""
        self._foreign = ForeignBytes()
        self._file = ""
        self._line = 0
        self._first_in_file = True
        self._before = b""
        self._rest = b""

    def begin_file(self, name: str) -> None:
        """Begin the next file."""
        self.end_file()
        self._file, self._line = name, 0
        self._first_in_file = True

    def read(self, chunk: bytes) -> None:
        """Take some bytes of the file."""
        self.report.bytes += len(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._take(lines)
        if len(self._rest) > MAX_LINE_BYTES:
            self._foreign.add(self._rest, self._file, self._line + 1)
            self._rest = b""
        self.signed.compare_external(self._file, self._line)

    def end_file(self) -> None:
        """Take what stands behind the last line end: half of a line."""
        if self._rest:
            self._line += 1
            self._foreign.add(self._rest, self._file, self._line)
            self._rest = b""

    def finish(self, now: float | None = None) -> TrailReport:
        """Return the result. With ``now`` (Unix seconds) the last checkpoint must be fresh."""
        self.end_file()
        if self._foreign:
            self._judge_foreign(None, b"")
        if self._state is None:
            self.report.add(
                FindingKind.UNCHAINED, "no line of these files is chained", self._place()
            )
        self.signed.finish(now)
        self.report.trails = [each.summary for each in self._trails.values()]
        return self.report

    def _place(self, line: bytes = b"") -> Place:
        return Place(self._file, self._line, line, self._before)

    def _take(self, lines: Iterable[bytes]) -> None:
        """Take whole lines: what follows as it should here, everything else in ``_look_at``."""
        state = self._state
        number, count = self._line, 0
        for line in lines:
            number += 1
            if state is not None:
                body = line[:-LINK_BYTES]
                seq = state.seq + 1
                if body.endswith(b"%b%d" % (state.middle, seq)) and not self._foreign:
                    chain = sha256(state.chain + body).hexdigest().encode()
                    if line[-LINK_BYTES:] == b'%b%b"}' % (_CHAIN, chain):
                        state.seq, state.chain = seq, chain
                        state.remember(seq, chain)
                        count += 1
                        if line.startswith(_OWN, ID_OFFSET):
                            self._line, self._before = number, state.last
                            self._own(line, state)
                        state.last = self._before = line
                        continue
            self._line = number
            self._look_at(line)
            state = self._state
            self._before = line
        self._line = number
        self.report.lines += count

    def _look_at(self, line: bytes) -> None:
        """Judge a line that does not follow the last one, or of which that is not known yet."""
        link = read_link(line)
        if link is None:
            self._foreign.add(line + b"\n", self._file, self._line)
            return
        self.report.lines += 1
        if self._foreign:
            self._judge_foreign(link, line)
        state = self._trails.get(link.head.trail)
        if state is None:
            self._begin_trail(link, line)
            return
        self._state = state
        self._compare(state, link, line)
        self._first_in_file = False

    def _begin_trail(self, link: ChainLink, line: bytes) -> None:
        trail, seq, chain = link.head
        is_first = seq == 1 and chain_of(NO_CHAIN, link.body) == chain
        place = self._place(line)
        if not is_first and self._trails and not self._first_in_file:
            what = f"line {seq} of another trail, whose beginning is not in these files"
            self.report.add(FindingKind.SPLICED, what, place, seq)
        elif seq == 1 and not is_first:
            what = "the first line of a trail does not fit its chain value: it was altered"
            self.report.add(FindingKind.ALTERED, what, place, seq)
        elif seq > 1 and not _is_object(line):
            what = f"line {seq}, the first of its trail here, is no JSON object: it was altered"
            self.report.add(FindingKind.ALTERED, what, place, seq)
        elif self._trails:
            what = (
                f"a trail of its own begins here, with line {seq}: the sidecar was started anew, "
                "or these files are of several"
            )
            self.report.add(FindingKind.TRAIL, what + _unchecked(seq), place, seq)
        elif seq > 1:
            what = f"these files begin with line {seq} of the trail; what is older was not read"
            self.report.add(FindingKind.BEGINS, what + _unchecked(seq), place, seq)
        self._first_in_file = False
        if len(self._trails) >= MAX_TRAILS:
            self._trails.pop(next(iter(self._trails)))
        if len(self._trails) >= REMEMBERED_TRAILS:
            list(self._trails.values())[-REMEMBERED_TRAILS].forget()
        state = TrailState(link.head, time_of(line))
        self._state = self._trails[trail] = state
        state.last = line
        self._own(line, state)

    def _compare(self, state: TrailState, link: ChainLink, line: bytes) -> None:
        """Judge a line of a known trail by the last line of it."""
        _, seq, chain = link.head
        place = self._place(line)
        if seq <= state.seq:
            known = state.recall(seq)
            if known is None and state.is_missing(seq):
                what = f"line {seq} stands behind line {state.seq}: it was moved here"
                self.report.add(FindingKind.MOVED, what, place, seq)
            elif known in {chain, None}:
                what = f"line {seq} stands here again, behind line {state.seq}"
                self.report.add(FindingKind.REPEATED, what, place, seq)
            else:
                what = f"another line {seq} stands here, behind line {state.seq}"
                self.report.add(FindingKind.INSERTED, what, place, seq)
            return
        first = state.seq + 1
        if seq > first:
            what = f"lines {first} to {seq - 1} are" if seq - 1 > first else f"line {first} is"
            where = (
                "before this one, the first of its file"
                if self._first_in_file
                else "before this one"
            )
            found = self.report.add(FindingKind.MISSING, f"{what} missing {where}", place, seq)
            state.add_gap(first, seq - 1, found)
        elif chain_of(state.chain, link.body) != chain:
            what = (
                f"line {seq} does not fit its chain value: it was altered, or what was before it "
                "was altered and reckoned anew"
            )
            self.report.add(FindingKind.ALTERED, what, place, seq)
        state.seq, state.chain, state.last = seq, chain, line
        state.remember(seq, chain)
        self._own(line, state)

    def _own(self, line: bytes, state: TrailState) -> None:
        """Act on a line of the trail's own."""
        own = read_trail_line(line)
        if own is None:
            return
        if own.reason == LOST:
            self.report.lost += own.lost
            what = f"the sidecar could not write {own.lost} lines before this one, and says so"
            self.report.add(FindingKind.LOST, what, self._place(line), state.seq)
        elif own.reason == SINK_DROPPED:
            self._explain_gap(own, state)
        elif own.reason == BEGAN:
            self._follow_on(own, line, state)
        elif own.reason == CHECKPOINT:
            self.signed.compare(own.note, self._place(line))

    def _explain_gap(self, own: TrailLine, state: TrailState) -> None:
        """Compare what the sidecar says that a sink dropped with what is missing here.

        Nothing in a file says of which sink it is a copy: without the name, lines that one sink
        dropped would excuse whoever cuts them out of another's copy.
        """
        gap = state.gaps.get((own.first, own.last))
        if gap is None:
            return
        if own.sink != self._sink:
            if len(gap.text) > _MAX_TEXT:
                return
            sink = own.sink[:_MAX_SINK]
            gap.text += (
                f"; the sidecar says that its sink {sink} dropped them: if these files are of "
                f"that sink, say so (--sink {sink})"
            )
            return
        del state.gaps[own.first, own.last]
        count = own.last - own.first + 1
        self.report.dropped += count
        what = (
            f"{count} lines, {own.first} to {own.last}, are in other sinks: the queue of "
            f"{own.sink} was full, and the sidecar says so in line {state.seq}"
        )
        self.report.explain(gap, FindingKind.DROPPED, what)

    def _follow_on(self, own: TrailLine, line: bytes, state: TrailState) -> None:
        """Compare the end of another trail with what a new one says of it."""
        after = Head.parse(own.after)
        before = None if after is None else self._trails.get(after.trail)
        if after is None or before is None or before is state:
            return
        known = before.recall(after.seq)
        if after.seq > before.seq:
            what = (
                f"lines {before.seq + 1} to {after.seq} of trail {before.name} are missing: "
                "the next trail names the last one"
            )
            self.report.add(FindingKind.MISSING, what, self._place(line), state.seq)
        elif known is not None and known != after.chain:
            what = f"line {after.seq} of trail {before.name} is not the one that the next one names"
            self.report.add(FindingKind.REWRITTEN, what, self._place(line), state.seq)

    def _judge_foreign(self, link: ChainLink | None, line: bytes) -> None:
        """Judge bytes that are no chained line, by the chained one behind them, if there is one."""
        foreign, self._foreign = self._foreign, ForeignBytes()
        own = None if link is None else read_trail_line(line)
        is_named = (
            own is not None
            and own.reason == FOREIGN
            and (foreign.is_named_by(own) or (foreign.is_blank and self._state is None))
        )
        if own is not None and is_named:
            what = f"{own.foreign_bytes} bytes here are no line of the trail; the sidecar says so"
            self.report.add(
                FindingKind.TORN, f"{what} in the next line, as after a crash", foreign.place
            )
        elif link is not None and link.head.seq == 1 and self._state is None:
            what = f"{foreign.lines} lines are older than the chain, and not protected"
            self.report.add(FindingKind.TRAIL, what, foreign.place)
        elif foreign.is_begin_of(line) or (link is None and foreign.is_torn):
            what = "half of a line, at the end of a file"
            self.report.add(FindingKind.TORN, what, foreign.place)
        elif self._state is not None or link is not None:
            what = f"{foreign.lines} lines here are not of the trail"
            self.report.add(FindingKind.INSERTED, what, foreign.place)


def _unchecked(seq: int) -> str:
    """Return what is to be said of the first line that there is of a trail."""
    return "; whether this line was altered can't be told without the one before" * (seq > 1)


def _is_object(line: bytes) -> bool:
    """Tell whether a line is one JSON object, as all of ours are.

    Two lines whose line end was altered are read as one that ends like the second.
    """
    try:
        msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return False
    return True
