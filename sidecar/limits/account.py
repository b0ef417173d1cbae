"""The account that a login is for, read from the request's body; and the key it is counted by.

Whoever guesses passwords would like the throttle and the application to read two different
accounts. So a request that two readers may read differently names no account at all: a member or
a field that comes twice or in another case, or in the query too, an encoding, a content type or
a charset that says otherwise, bytes that are no UTF-8, more bytes than allowed. Such requests are
all counted as one account, and so are those that name none; the application denies them on its
own.

Two spellings that a database may take for one account are counted as one: case, accents, forms of
Unicode, characters that are not seen. A sub-address (``user+tag@``) is an account of its own.

Neither address nor account is kept: the key is a BLAKE2b hash under a random key (RFC 7693).
"""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple
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
_UTF_8 = frozenset({"charset=utf-8", "charset=utf8"})
_CHARSET_FIELD = "_charset_"
"""The field by which a form says how it is encoded (HTML, "Constructing the entry list")."""
_UNSEEN = frozenset({"Mn", "Me", "Cf", "Cc"})
"""Categories that collations ignore: accents, enclosing marks, format and control characters."""


class _TwoReadingsError(ValueError):
    """The body can be read in more than one way."""


class LoginAttempt(NamedTuple):
    """What is read of a request that logs in."""

    body: bytes
    headers: Mapping[str, bytes]
    query: bytes = b""


def read_account(attempt: LoginAttempt, login: LoginThrottle) -> str:
    """Return the account that a request names, in one form; ``NO_ACCOUNT`` if it is not clear."""
    body, headers, query = attempt
    if not body or len(body) > login.max_body_bytes:
        return NO_ACCOUNT
    if headers.get(_PARTIAL, b"false") != b"false":
        return NO_ACCOUNT
    if headers.get("content-encoding", b"").strip(b" \t").lower() not in _AS_IT_IS:
        return NO_ACCOUNT
    try:
        kind = _media_type(headers.get("content-type", b"").decode("latin-1").lower())
        text = body.decode("utf-8")
        if query:
            _refuse_query(query.decode("utf-8"), login)
        if login.pointer:
            account = _in_json(text, login.pointer) if _is_json(kind) else NO_ACCOUNT
        else:
            account = (kind == _FORM and _in_form(text, login.form_field)) or NO_ACCOUNT
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


def _media_type(value: str) -> str:
    """Return a media type; raise ``ValueError`` for a charset other than UTF-8 (RFC 9110 §8.3.2).

    A reader that obeys ``charset=utf-7`` reads another account in the same bytes.
    """
    kind, *parameters = value.split(";")
    for parameter in parameters:
        if "charset" in parameter and parameter.replace('"', "").strip(" \t") not in _UTF_8:
            raise _TwoReadingsError
    return kind.strip(" \t")


def _refuse_query(query: str, login: LoginThrottle) -> None:
    """Raise ``ValueError`` for a query that names an account too: some readers take that one."""
    names = {login.form_field, *login.pointer[:1], *login.pointer[-1:]} - {""}
    if any(_in_form(query, name) is not None for name in names):
        raise _TwoReadingsError


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


def _in_form(text: str, name: str) -> str | None:
    """Return a form's field; raise ``ValueError`` where it has more than one reading."""
    if ";" in text:  # separates fields too, for some readers; a client that means it writes %3B
        raise _TwoReadingsError
    found: str | None = None
    for pair in text.split("&"):
        raw_name, _, raw_value = pair.partition("=")
        field = unquote_plus(raw_name, errors="strict")
        # PHP and others read "email[]" and "email[x]" as fields of that name.
        base = field.partition("[")[0].strip()
        if base.casefold() == _CHARSET_FIELD:
            raise _TwoReadingsError
        if base.casefold() == name.casefold():
            if field != name or found is not None:
                raise _TwoReadingsError
            found = unquote_plus(raw_value, errors="strict")
    return found


def _one_form(account: str) -> str:
    """Return an account in the widest form in which databases compare them.

    It is that of a collation that knows neither case nor accents (MySQL's default): to count two
    accounts as one costs their owners little, to count one as two gives an attacker attempts.
    """
    if account.isascii():
        return account.lower().strip() if account.isprintable() else _without_unseen(account)
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", account).casefold())
    return _without_unseen(decomposed)


def _without_unseen(account: str) -> str:
    seen = (each for each in account.casefold() if unicodedata.category(each) not in _UNSEEN)
    return "".join(seen).strip()
