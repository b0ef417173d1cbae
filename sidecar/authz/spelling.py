"""How servers read the names of cookies and of query parameters: one form for all of them.

PHP and Rack decode a name's escapes; PHP makes ``_`` of a dot, a space and a lone bracket, and
ends a name at NUL and, as an array, at ``[``; Node, Go and Django strip white space, of which
Django knows Unicode's; ASP.NET ignores case. Whoever looks for a name that a server might find
looks for every form.
"""

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

_JOINTS = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ. +[", b"abcdefghijklmnopqrstuvwxyz" + b"_" * 4
)
_UNSEEN = bytes(range(0x21)) + b'"+!' + bytes(range(0x7F, 0x100))
"""What is stripped around a name: white space in any encoding, quotes, an encoded space; and the
exclamation mark, which Envoy puts in the Check for a byte that is not UTF-8."""


def forms_of(name: bytes) -> tuple[bytes, ...]:
    """Return what servers may read a name as."""
    decoded = unquote_to_bytes(name) if b"%" in name else name
    whole = decoded.partition(b"\0")[0].lstrip(_UNSEEN)
    alone = whole.partition(b"[")[0].rstrip(_UNSEEN)
    return whole.translate(_JOINTS), alone.translate(_JOINTS)


def may_hold(text: bytes, forms: Iterable[bytes]) -> bool:
    """Tell whether any of the names may stand in a text: false only where none does."""
    folded = (unquote_to_bytes(text) if b"%" in text else text).translate(_JOINTS)
    return any(form in folded for form in forms)
