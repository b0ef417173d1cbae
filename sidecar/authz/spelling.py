"""How servers read the names of cookies and of query parameters: one form for all of them.

PHP and Rack decode a name's escapes; PHP replaces a dot, a space and a lone bracket with ``_``,
and ends a name at NUL and, as an array, at ``[``; Node, Go and Django strip white space, Django
also Unicode's; ASP.NET ignores case. A search for a name must cover every form in which some
server would find it.
"""

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

_JOINTS = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ. +[", b"abcdefghijklmnopqrstuvwxyz" + b"_" * 4
)
_PERCENT = ord("%")
_UNSEEN = bytes(range(0x21)) + b'"+!' + bytes(range(0x7F, 0x100))
"""Stripped around a name: white space in any encoding, quotes, an encoded space, and the
exclamation mark, with which Envoy replaces a byte that is not UTF-8 in the Check."""


def forms_of(name: bytes) -> tuple[bytes, ...]:
    """Return every form in which servers may read a name."""
    decoded = unquote_to_bytes(name) if b"%" in name else name
    whole = decoded.partition(b"\0")[0].lstrip(_UNSEEN)
    alone = whole.partition(b"[")[0].rstrip(_UNSEEN)
    return whole.translate(_JOINTS), alone.translate(_JOINTS)


def may_hold(text: bytes, forms: Iterable[bytes]) -> bool:
    """Return whether a text may contain any of the names; false only if it contains none."""
    # A number, and ``count``: for bytes in bytes, ``in`` first raises and drops a TypeError inside
    # (CPython 3.11 asks whether they are a number), which costs more than the search.
    folded = (unquote_to_bytes(text) if _PERCENT in text else text).translate(_JOINTS)
    return any(folded.count(form) for form in forms)
