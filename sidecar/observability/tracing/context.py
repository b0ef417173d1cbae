"""Reads a trace's context (W3C Trace Context, a Recommendation of 2021), strictly. Pure.

A context comes with each Check from an Envoy that traces; what a client sent is in it as far as
Envoy took it over. What is not exactly of the form counts as absent, as §3.2 and §3.3 ask for.
"""

import re

MAX_TRACEPARENT, MAX_TRACESTATE = 256, 512
"""Bytes that are looked at. §3.3.1.5 asks to pass on at least 512 of a ``tracestate``."""
_MAX_MEMBERS = 32
SAMPLED, RANDOM = 0x01, 0x02
"""Bits of the flags (§3.2.2.5; the second one is of level 2, and passed on)."""

_IDS = rb"-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})"
_VERSION_00 = re.compile(rb"00" + _IDS)
_LATER_VERSION = re.compile(rb"(?!00|ff)[0-9a-f]{2}" + _IDS + rb"(?:-.*)?", re.DOTALL)
"""Of a later version what version 00 has too is read, and what follows is not (§3.2.4)."""
_MEMBER = re.compile(
    r"([a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}|[a-z][a-z0-9_*/-]{0,255})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


TraceContext = tuple[bytes, bytes, bytes]
"""The ids of the trace and of the span that asks, and the flags; lower-case hexadecimal digits."""
_ODD = frozenset(b"13579bdf")


def read_traceparent(value: bytes) -> TraceContext | None:
    """Return the context that a ``traceparent`` names; ``None`` for any other text."""
    found = _VERSION_00.fullmatch(value)
    if found is None:
        if len(value) > MAX_TRACEPARENT:
            return None
        found = _LATER_VERSION.fullmatch(value)
    if found is None:
        return None
    trace_id, parent_id, flags = found.groups()
    return trace_id, parent_id, flags


def is_sampled(context: TraceContext) -> bool:
    """Return whether who asks records its own span."""
    return context[2][1] in _ODD


def read_tracestate(value: bytes) -> str:
    """Return a ``tracestate`` without its empty members; empty for one that is not valid."""
    if len(value) > MAX_TRACESTATE:
        return ""
    try:
        members = [each.strip(" \t") for each in value.decode("ascii").split(",")]
    except UnicodeDecodeError:
        return ""
    members = [each for each in members if each]
    found = [_MEMBER.fullmatch(each) for each in members]
    keys = {each[1] for each in found if each is not None}
    if len(members) > _MAX_MEMBERS or len(keys) < len(members):
        return ""
    return ",".join(members)
