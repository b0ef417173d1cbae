"""Strict readers of the two encodings in a JWT: base64url and JSON.

A lenient reader accepts several spellings of one token, and attackers bypass filters with a
spelling that two readers understand differently (RFC 8725 §2.4, §3.2).
"""

import json
import re
from binascii import Error as BinasciiError
from binascii import a2b_base64
from typing import Any, NoReturn

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason

MAX_JSON_DEPTH = 16
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_STANDARD = (
    bytes(byte if byte in _ALPHABET else 0 for byte in range(256))
    .replace(b"-", b"+")
    .replace(b"_", b"/")
)
"""Every byte outside the alphabet is mapped to NUL, which no decoder accepts."""
_ENDINGS: tuple[tuple[bytes, frozenset[int]], ...] = (
    (b"", frozenset(_ALPHABET)),
    (b"!", frozenset()),  # no whole number of bytes has this length
    (b"==", frozenset(_ALPHABET[::16])),
    (b"=", frozenset(_ALPHABET[::4])),
)
"""By length modulo 4: the omitted padding, and the last characters whose unused bits are 0."""
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{\]}]', re.DOTALL)


def decode_base64url(segment: bytes, what: str) -> bytes:
    """Decode RFC 7515 base64url: no padding, no white space, no stray trailing bits.

    Raises ``Denied(token_malformed)``. Exactly one spelling of every value is accepted.
    """
    padding, last = _ENDINGS[len(segment) % 4]
    try:
        decoded = a2b_base64(segment.translate(_TO_STANDARD) + padding, strict_mode=True)
    except BinasciiError:
        raise Denied(Reason.TOKEN_MALFORMED, f"{what} is not base64url without padding") from None
    if segment and segment[-1] not in last:
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
    """Return the deepest nesting, ignoring brackets in strings."""
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
