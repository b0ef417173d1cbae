"""Strict readers of the two encodings a JWT is made of.

A lenient reader gives one token several spellings, and a spelling that two readers
understand differently is how filters are passed by (RFC 8725 §2.4, §3.2).
"""

import json
import re
from binascii import a2b_base64, b2a_base64
from typing import Any, NoReturn

from sidecar.errors import Denied
from sidecar.reasons import Reason

MAX_JSON_DEPTH = 16
_BASE64URL = re.compile(rb"[A-Za-z0-9_-]*")
_PADDING = (b"", None, b"==", b"=")
"""What a segment of this length modulo 4 lacks; no whole number of bytes leaves 1."""
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{\]}]', re.DOTALL)


def decode_base64url(segment: bytes, what: str) -> bytes:
    """Decode RFC 7515 base64url: no padding, no white space, no stray trailing bits.

    Raises ``Denied(token_malformed)``. Exactly one spelling of every value is accepted:
    what encodes back to other characters is refused.
    """
    padding = _PADDING[len(segment) % 4]
    if padding is None or not _BASE64URL.fullmatch(segment):
        raise Denied(Reason.TOKEN_MALFORMED, f"{what} is not base64url without padding")
    standard = segment.translate(_TO_STANDARD) + padding
    decoded = a2b_base64(standard)
    if padding and b2a_base64(decoded, newline=False) != standard:
        raise Denied(Reason.TOKEN_MALFORMED, f"{what} has stray trailing bits")
    return decoded


def decode_json_object(raw: bytes, what: str) -> dict[str, Any]:
    """Decode one JSON object: UTF-8, no repeated member, no NaN, depth at most 16.

    Depth is bounded before the parser runs, so no input can exhaust its stack.
    Raises ``Denied(token_malformed)``.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise Denied(Reason.TOKEN_MALFORMED, f"{what} is not UTF-8") from exc
    if text.count("{") + text.count("[") > MAX_JSON_DEPTH and _depth(text) > MAX_JSON_DEPTH:
        raise Denied(Reason.TOKEN_MALFORMED, f"{what} is nested deeper than {MAX_JSON_DEPTH}")
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as exc:
        raise Denied(Reason.TOKEN_MALFORMED, f"{what} is not strict JSON") from exc
    if type(value) is not dict:
        raise Denied(Reason.TOKEN_MALFORMED, f"{what} is not a JSON object")
    return value


def _depth(text: str) -> int:
    """Count the deepest nesting, passing over strings."""
    deepest = depth = 0
    for match in _BRACKETS.finditer(text):
        match match.group():
            case "{" | "[":
                depth += 1
                deepest = max(deepest, depth)
            case "}" | "]":
                depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("repeated member")
    return members


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
