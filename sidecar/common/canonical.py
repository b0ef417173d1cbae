"""Canonical forms of hosts and paths; what has none is denied.

A policy is matched against what Envoy sends and takes effect on what the application reads.
Where the two may read one path differently, an attacker sends the spelling that the sidecar
considers public and the application private. So a host or path that can't be brought to a
single form (RFC 3986 §6.2.2) without guessing is denied, never matched. ``authz.lenient``
handles what only some servers read alike (letters' case, a trailing slash).

Envoy's own normalisation (``envoy/edge.yaml``) runs before; nothing here relies on it.
"""

import re
from functools import lru_cache

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason

MAX_PATH_BYTES = 8192
MAX_HOST_LENGTH = 253
_MAX_AUTHORITY_BYTES = MAX_HOST_LENGTH + len(".:65535")

_SEGMENT = rb"[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*+"
_PLAIN = re.compile(rb"/(?:%s(?:/%s)*+/?)?" % (_SEGMENT, _SEGMENT))
"""A path whose only spelling is the one it has: no escape, no segment that starts with a dot."""
_ALLOWED = re.compile(rb"/[A-Za-z0-9._~!$&'()*+,=:@%/-]*")
_ESCAPE = re.compile(rb"%(.{0,2})", re.DOTALL)
_TWICE_ENCODED = re.compile(rb"%25[0-9A-Fa-f]{2}")
_HEX_PAIR = re.compile(rb"[0-9A-Fa-f]{2}")
_ONE_SPELLING = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,=:@"
)
"""What RFC 3986 §3.3 allows raw in a segment (``pchar``), but for ``;``, which is refused."""
_DANGEROUS = {
    ord("/"): "a slash",
    ord("\\"): "a backslash",
    ord(";"): "a semicolon",
    0x7F: "a control character",
} | dict.fromkeys(range(0x20), "a control character")

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(
    rf"(?P<name>{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])\.?(?::[0-9]{{1,5}})?"
)


def canonical_path(raw: bytes) -> str:
    """Return the path of a request target, without its query, in its one canonical form.

    What may stand raw in a segment is decoded (``%40`` is ``@``, ``%2B`` is ``+``): WSGI
    servers, Go and nginx read both as one, so both are matched as one. Every other escape
    stays one, in capitals; its raw form is no path. Raises ``Denied(path_ambiguous)`` for
    encoded slashes, dot segments, empty segments, backslashes, semicolons (path
    parameters), control characters, double encoding, escapes that are not UTF-8 and
    malformed escapes; ``Denied(request_too_large)`` over 8 KB.

    This is for matching alone: the application gets the target as the client spelt it.
    """
    path = raw.partition(b"?")[0]
    if len(path) > MAX_PATH_BYTES:
        raise Denied(Reason.REQUEST_TOO_LARGE, f"the path has more than {MAX_PATH_BYTES} bytes")
    if _PLAIN.fullmatch(path):
        return path.decode("ascii")
    return _canonicalise(path)


def _canonicalise(path: bytes) -> str:
    if not path.startswith(b"/"):
        raise _ambiguous("it does not begin with a slash")
    if not _ALLOWED.fullmatch(path):
        raise _ambiguous("it holds a character that must be encoded, or a semicolon")
    canonical = _ESCAPE.sub(lambda match: _escape(match.group(1)), path)
    if _TWICE_ENCODED.search(canonical):
        raise _ambiguous("it holds an escape that is encoded itself")
    if b"//" in canonical:
        raise _ambiguous("it holds an empty segment")
    segments = canonical.split(b"/")
    if b"." in segments or b".." in segments:
        raise _ambiguous("it holds a dot segment")
    try:
        _ESCAPE.sub(lambda match: bytes([int(match.group(1), 16)]), canonical).decode("utf-8")
    except UnicodeDecodeError as exc:
        raise _ambiguous("its escapes are not UTF-8") from exc
    return canonical.decode("ascii")


def _escape(digits: bytes) -> bytes:
    if not _HEX_PAIR.fullmatch(digits):
        raise _ambiguous("it holds a malformed escape")
    value = int(digits, 16)
    if (name := _DANGEROUS.get(value)) is not None:
        raise _ambiguous(f"it holds {name}, encoded")
    if value in _ONE_SPELLING:
        return bytes([value])
    return b"%" + digits.upper()


def _ambiguous(detail: str) -> Denied:
    return Denied(Reason.PATH_AMBIGUOUS, f"the path is ambiguous: {detail}")


def canonical_host(raw: bytes) -> str:
    """Return the host of ``Host``/``:authority``: lower case, no port, no trailing dot.

    Raises ``Denied(host_malformed)`` for what is neither a name nor an IP literal.
    """
    try:
        return _canonical_host(raw)
    except ValueError as exc:
        raise Denied(Reason.HOST_MALFORMED, "the host is neither a name nor an IP literal") from exc


@lru_cache(maxsize=4096)
def _canonical_host(raw: bytes) -> str:
    """Parse a host; cached, as a process serves few hosts and none is longer than a name."""
    if len(raw) > _MAX_AUTHORITY_BYTES:
        raise ValueError("too long")
    match = _HOST.fullmatch(raw.decode("ascii").lower())
    if match is None or len(match["name"]) > MAX_HOST_LENGTH:
        raise ValueError("not a host")
    return match["name"]
