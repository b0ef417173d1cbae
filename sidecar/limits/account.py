"""The account that a login is for, read from the request's body; and the key it is counted by.

Whoever guesses passwords would like the throttle and the application to read two different
accounts. So a body that two readers may read differently names no account at all: a member or a
field that comes twice or in another case, an encoding, a content type that says otherwise, bytes
that are no UTF-8, more bytes than allowed. Such requests are all counted as one account, and so
are those that name none; the application refuses them on its own.

Neither address nor account is kept: the key is a BLAKE2b hash under a random key (RFC 7693).
"""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from sidecar.limits.policy import LoginThrottle

NO_ACCOUNT = ""
"""The account of a request whose body names none, or not clearly."""
KEY_BYTES = 32
_DIGEST_BYTES = 16
_MAX_ACCOUNT = 512
_FORM = "application/x-www-form-urlencoded"
_PARTIAL = "x-envoy-auth-partial-body"
_AS_IT_IS = frozenset({b"", b"identity"})


class _TwoReadingsError(ValueError):
    """The body can be read in more than one way."""


def read_account(body: bytes, headers: Mapping[str, bytes], login: LoginThrottle) -> str:
    """Return the account that a body names, in one form; ``NO_ACCOUNT`` if it is not clear."""
    if not body or len(body) > login.max_body_bytes or headers.get(_PARTIAL) == b"true":
        return NO_ACCOUNT
    if headers.get("content-encoding", b"").strip(b" \t").lower() not in _AS_IT_IS:
        return NO_ACCOUNT
    kind = (
        headers.get("content-type", b"").partition(b";")[0].strip(b" \t").lower().decode("latin-1")
    )
    try:
        text = body.decode("utf-8")
        if login.pointer:
            account = _in_json(text, login.pointer) if _is_json(kind) else NO_ACCOUNT
        else:
            account = _in_form(text, login.form_field) if kind == _FORM else NO_ACCOUNT
    except (ValueError, RecursionError):
        return NO_ACCOUNT
    return _one_form(account) if len(account) <= _MAX_ACCOUNT else NO_ACCOUNT


def throttle_key(secret: bytes, *parts: str) -> str:
    """Return the key that stands for an address, an account, or both."""
    digest = hashlib.blake2b(key=secret, digest_size=_DIGEST_BYTES)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(4, "big"))
        digest.update(raw)
    return digest.hexdigest()


def _is_json(kind: str) -> bool:
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def _in_json(text: str, names: tuple[str, ...]) -> str:
    """Return the text at a pointer; raise ``ValueError`` for a document with two readings."""
    value: Any = json.loads(text, object_pairs_hook=_members, parse_constant=_refuse)
    for name in names:
        if not isinstance(value, dict) or name not in value:
            return NO_ACCOUNT
        value = value[name]
    return value if isinstance(value, str) else NO_ACCOUNT


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; no two of its names may be equal to a reader that ignores case (Go's)."""
    members = dict(pairs)
    if len({name.casefold() for name in members}) != len(pairs):
        raise _TwoReadingsError
    return members


def _refuse(_constant: str) -> None:
    raise _TwoReadingsError  # NaN and Infinity are no JSON


def _in_form(text: str, name: str) -> str:
    """Return a form's field; raise ``ValueError`` where it has more than one reading."""
    if ";" in text:  # separates fields too, for some readers; a client that means it writes %3B
        raise _TwoReadingsError
    found: list[str] = []
    for pair in text.split("&"):
        raw_name, _, raw_value = pair.partition("=")
        field = unquote_plus(raw_name, errors="strict")
        # PHP and others read "email[]" and "email[x]" as fields of that name.
        base = field.partition("[")[0].strip()
        if base.casefold() == name.casefold():
            if field != name:
                raise _TwoReadingsError
            found.append(unquote_plus(raw_value, errors="strict"))
    if len(found) > 1:
        raise _TwoReadingsError
    return found[0] if found else NO_ACCOUNT


def _one_form(account: str) -> str:
    """Return an account in the form in which applications compare them."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", account).casefold()).strip()
