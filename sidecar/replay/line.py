"""An audit line as it is replayed. The file is not trusted, and may be of another version.

Members that are not known are ignored (a chain's, a trace's); ``inputs`` must be known whole,
because a part of what decided is not what decided.
"""

from datetime import datetime
from functools import lru_cache
from typing import Literal

import msgspec

from sidecar.observability.audit.inputs import CUT, NO_INPUTS, RecordedInputs

MAX_LINE_BYTES = 65_536
"""A longer line is none that a sidecar writes."""
ALLOW, DENY = "allow", "deny"
_NO_RAW = msgspec.Raw()
_TRAIL = b'"outcome":"trail"'


class RecordedLine(msgspec.Struct, gc=False):
    """The fields of a line that count; ``inputs`` as it stands there."""

    time: str
    decision_id: str
    outcome: str
    reason: str
    status: int
    route: str
    tenant: str = ""
    subject: str = ""
    method: str = ""
    host: str = ""
    path: str = ""
    source: str = ""
    principal: str = ""
    kid: str = ""
    token_digest: str = ""
    detail: str = ""
    shadow_reason: str = ""
    warnings: tuple[str, ...] = ()
    inputs: msgspec.Raw = _NO_RAW
    at: float = 0.0
    """``time`` in Unix seconds; not a member of the line."""


_decode = msgspec.json.Decoder(RecordedLine).decode
_decode_inputs = msgspec.json.Decoder(RecordedInputs).decode


def parse_line(line: bytes) -> RecordedLine | None:
    """Return one line; ``None`` for what is no decision's."""
    try:
        read = _decode(line)
        parsed = datetime.fromisoformat(read.time)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if parsed.tzinfo is None or read.outcome not in {ALLOW, DENY}:
        return None
    read.at = parsed.timestamp()
    return read


class _TrailLine(msgspec.Struct, gc=False):
    outcome: Literal["trail"]
    lost: int = 0


_decode_trail = msgspec.json.Decoder(_TrailLine).decode


def lost_lines(line: bytes) -> int | None:
    """Return how many lines a line of the chain's own says were lost; ``None`` for another line.

    These lines are no decisions (``sidecar.observability.audit.chain``).
    """
    if _TRAIL not in line:
        return None
    try:
        return max(0, _decode_trail(line).lost)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def inputs_of(line: RecordedLine) -> RecordedInputs | None:
    """Return what the decision was made from; ``None`` where the line does not have it.

    ``CUT`` where it has a part, or members of another version.
    """
    raw = bytes(line.inputs)
    return None if not raw else _read_inputs(raw)


@lru_cache(maxsize=16_384)
def _read_inputs(raw: bytes) -> RecordedInputs:
    """Read the member; cached, as the lines of one token have equal ones."""
    try:
        read = _decode_inputs(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return CUT
    if read.cut or not all(-(2**53) < each < 2**53 for each in (read.iat, read.nbf, read.exp)):
        return CUT
    return NO_INPUTS if read == NO_INPUTS else read
