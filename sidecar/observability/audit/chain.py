"""The hash chain of audit lines: what a line gets, and how it is read again. Pure.

Each line ends with three members: ``trail``, a random name of the chain it belongs to; ``seq``,
its number there from 1; and ``chain``, SHA-256 in hexadecimal over the chain value of the line
before (64 zeros for the first) and the bytes of the line up to its own ``chain`` member:

    chain = SHA-256(chain of the line before + {"time":… ,"trail":"…","seq":N)

So a line that is altered, removed, inserted or moved does not fit the one after it. The hash has
no key: what makes a rewritten chain impossible is that its head is signed (``checkpoint``).

Lines of the trail's own tell what happened to it, so that a loss is not taken for tampering:
their ``outcome`` is ``trail``, and each has a member that no line of a decision may have.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from sidecar.common.printable import escape_json

NO_CHAIN = b"0" * 64
"""What comes before the first line."""
_CHAIN = b',"chain":"'
LINK_BYTES = len(_CHAIN) + 64 + len(b'"}')
"""What stands behind the hashed part of a line, without its line feed."""
_TRAIL, _SEQ = b',"trail":"', b'","seq":'
_TRAIL_DIGITS = 16
_HEX = frozenset(b"0123456789abcdef")
MAX_SEQ = 10**18

OUTCOME = "trail"
BEGAN, LOST, FOREIGN = "trail_began", "lines_lost", "foreign_bytes"
CHECKPOINT, FORGOTTEN = "checkpoint", "subjects_forgotten"
SINK_DROPPED = "sink_dropped"
"""The reasons of the trail's own lines."""
ID_PREFIX = "audit-"
"""How the ``decision_id`` of these lines begins, which stands at a fixed place."""
ID_OFFSET = len('{"time":"2026-01-01T00:00:00.000+00:00","decision_id":"')


class Head(NamedTuple):
    """The last line of a chain: the chain's name, the line's number and chain value (ASCII)."""

    trail: bytes
    seq: int = 0
    chain: bytes = NO_CHAIN

    @property
    def text(self) -> str:
        """Return it as a line of the next trail names it."""
        return f"{self.trail.decode()}-{self.seq}-{self.chain.decode()}"

    @classmethod
    def parse(cls, text: str) -> "Head | None":
        """Return what ``text`` made; ``None`` for anything else."""
        match text.split("-"):
            case [trail, seq, chain] if _is_number(seq.encode()):
                return cls(trail.encode(), int(seq), chain.encode())
        return None


class ChainLink(NamedTuple):
    """What a chained line says of itself; ``body`` is the hashed part."""

    body: bytes
    head: Head


class TrailLine(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """A line of the trail's own."""

    time: str
    """When it was written."""
    decision_id: str
    """`audit-`, and the reason: no decision has such an id."""
    outcome: str
    """`trail`."""
    reason: str
    """What happened to the trail."""
    status: int
    """0."""
    route: str
    """Empty."""
    after: str = ""
    """``trail_began``: name, last number and last hash of the chain before, in the same file."""
    lost: int = 0
    """``lines_lost``: so many lines that were decided are missing before this one."""
    foreign_bytes: int = 0
    """``foreign_bytes``: so many bytes before this line are no lines of the trail."""
    foreign_sha256: str = ""
    """``foreign_bytes``: the hash of those bytes."""
    sink: str = ""
    """``sink_dropped``: of several sinks, the one whose full queue did not take lines."""
    first: int = 0
    """``sink_dropped``: the number of the first of them; the other sinks have them."""
    last: int = 0
    """``sink_dropped``: the number of the last."""
    note: str = ""
    """``checkpoint``: the signed note."""
    key_version: int = 0
    """``subjects_forgotten``: the version of the pseudonyms' keys from which a subject is gone."""
    detail: str
    """What happened, in words."""
    latency_us: int
    """0."""


def trail_line(time: str, reason: str, detail: str, **members: int | str) -> bytes:
    """Return a line of the trail's own, with its end; ``members`` are those of ``TrailLine``."""
    name = f"{ID_PREFIX}{reason}"
    line = TrailLine(
        time=time,
        decision_id=name,
        outcome=OUTCOME,
        reason=reason,
        status=0,
        route="",
        detail=detail,
        latency_us=0,
        **members,  # type: ignore[arg-type]
    )
    return escape_json(_encoder.encode(line)) + b"\n"


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(TrailLine)


def chain_lines(head: Head, lines: Sequence[bytes]) -> tuple[list[bytes], Head]:
    """Return lines with their links, and the head after them. Each line ends with ``}`` and LF."""
    trail, seq, chain = head
    middle = _TRAIL + trail + _SEQ
    chained = []
    for seq, line in enumerate(lines, seq + 1):  # noqa: B020 - the head's own number goes on
        body = b"%b%b%d" % (line[:-2], middle, seq)
        chain = sha256(chain + body).hexdigest().encode()
        chained.append(b'%b,"chain":"%b"}\n' % (body, chain))
    return chained, Head(trail, seq, chain)


def read_link(line: bytes) -> ChainLink | None:
    """Return the link of a line without its line feed; ``None`` for one that has none.

    Only its form is judged, not whether it follows another one (``follows``).
    """
    body, link = line[:-LINK_BYTES], line[-LINK_BYTES:]
    chain = link[len(_CHAIN) : -2]
    at = body.rfind(_SEQ)
    start = at - _TRAIL_DIGITS - len(_TRAIL)
    seq, trail = body[at + len(_SEQ) :], body[start + len(_TRAIL) : at]
    if not (
        link.startswith(_CHAIN)
        and link.endswith(b'"}')
        and start > 0
        and body.startswith(_TRAIL, start)
        and _is_number(seq)
        and _HEX.issuperset(chain)
        and _HEX.issuperset(trail)
    ):
        return None
    return ChainLink(body, Head(trail, int(seq), chain))


def _is_number(text: bytes) -> bool:
    return text.isdigit() and not text.startswith(b"0") and len(text) < len(str(MAX_SEQ))


def follows(before: Head, link: ChainLink) -> bool:
    """Return whether a line is the next one of the chain, or the first one of another."""
    body, (trail, seq, chain) = link
    if trail != before.trail and seq == 1:
        return chain_of(NO_CHAIN, body) == chain
    return (trail, seq) == (before.trail, before.seq + 1) and chain_of(before.chain, body) == chain


def chain_of(before: bytes, body: bytes) -> bytes:
    """Return the chain value of a line with this hashed part, after one with this chain value."""
    return sha256(before + body).hexdigest().encode()


def read_trail_line(line: bytes) -> TrailLine | None:
    """Return a line of the trail's own, chained or not; ``None`` for any other.

    A process whose lines are queued can't forge one: its members are no decision's
    (``entry.read_line``).
    """
    if not line.startswith(ID_PREFIX.encode(), ID_OFFSET):
        return None
    try:
        read = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    own = {
        BEGAN: read.after,
        LOST: read.lost,
        FOREIGN: read.foreign_sha256,
        CHECKPOINT: read.note,
        FORGOTTEN: read.key_version,
        SINK_DROPPED: read.sink and 0 < read.first <= read.last,
    }
    return read if read.outcome == OUTCOME and own.get(read.reason) else None
