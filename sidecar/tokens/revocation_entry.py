"""The format of a revocation entry in Vault KV v2, and its reader.

Every field is optional; an unknown field is an error, because half a kill switch is worse than
an error. ``tokens`` has two formats. A list of objects is easy to read, and a Vault with its
default limits accepts 199 of them. A text with one token a line (``<jti> <exp>``, and ``iss``
once in a field of its own) is one JSON string, and 20,000 tokens fit into the megabyte that
Vault's storage accepts.

An entry is read piece by piece: no single library call lasts as long as a long list would
need, so that the interpreter lock does not delay other threads, above all the event loop's.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from sidecar.common.errors import Fault

MAX_TOKENS = 200_000
MAX_MARKS = 100_000
MAX_KIDS = 1024
_LATEST = 253_402_300_800
_MAX_TEXT = 1024
_MAX_DIGITS = 15
"""Of a time; leading zeros are allowed, and a longer text is not converted."""

_JSON_BEGINS = frozenset("[{")
_LISTS_AS_TEXT = (
    "; `vault kv put … name='[…]'` stores a list as text: use `sidecar revoke`, or write the entry "
    "from a file (`vault kv put -mount=secret iam/revocations @entry.json`)"
)
"""What is said of the mistake that everybody makes once."""

Text = Annotated[str, Meta(min_length=1, max_length=_MAX_TEXT)]
Moment = Annotated[float, Meta(ge=0, lt=_LATEST)]


class RevocationFault(Fault):
    """The list is invalid. The previous one stays in force."""


class RevokedToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One token; dropped after ``exp``, when it is denied as expired."""

    iss: Text
    jti: Text
    exp: Moment


class RevokedSubject(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """All tokens issued to a subject before a moment (Unix seconds)."""

    iss: Text
    sub: Text
    issued_before: Moment


class RevokedTenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """All tokens issued for a tenant before a moment (Unix seconds)."""

    tenant: Text
    issued_before: Moment


class RevocationEntry(NamedTuple):
    """An entry, field by field."""

    kids: tuple[str, ...] = ()
    tokens: tuple[RevokedToken, ...] = ()
    subjects: tuple[RevokedSubject, ...] = ()
    tenants: tuple[RevokedTenant, ...] = ()


class _Fields(msgspec.Struct, forbid_unknown_fields=True):
    iss: Text | None = None
    kids: Annotated[tuple[Text, ...], Meta(max_length=MAX_KIDS)] = ()
    tokens: msgspec.Raw = msgspec.Raw(b"[]")
    subjects: msgspec.Raw = msgspec.Raw(b"[]")
    tenants: msgspec.Raw = msgspec.Raw(b"[]")


_fields = msgspec.json.Decoder(_Fields)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_token = msgspec.json.Decoder(RevokedToken)
_subject = msgspec.json.Decoder(RevokedSubject)
_tenant = msgspec.json.Decoder(RevokedTenant)


def read_entry(raw: bytes | msgspec.Raw) -> RevocationEntry:
    """Read an entry's JSON object strictly; raise ``RevocationFault`` naming the invalid field."""
    try:
        fields = _fields.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        hint = _LISTS_AS_TEXT if "got `str`" in str(exc) else ""
        raise RevocationFault(f"{exc}{hint}") from None
    return RevocationEntry(
        tuple(fields.kids),
        tuple(_read_tokens(fields.tokens, fields.iss)),
        tuple(_each("subjects", fields.subjects, _subject.decode, MAX_MARKS)),
        tuple(_each("tenants", fields.tenants, _tenant.decode, MAX_MARKS)),
    )


def read_revocations(data: Mapping[str, Any]) -> RevocationEntry:
    """Read an entry that is already decoded, for example from a file."""
    return read_entry(msgspec.json.encode(dict(data)))


def _read_tokens(raw: msgspec.Raw, issuer: str | None) -> Iterator[RevokedToken]:
    if bytes(memoryview(raw)[:1]) != b'"':
        yield from _each("tokens", raw, _token.decode, MAX_TOKENS)
        return
    try:
        text = _text.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise RevocationFault(f"tokens: {exc}") from None
    if text.lstrip()[:1] in _JSON_BEGINS:
        raise RevocationFault(f"tokens: is JSON within a text{_LISTS_AS_TEXT}")
    lines = text.split("\n")
    if len(lines) > MAX_TOKENS:
        raise RevocationFault(f"tokens: more than {MAX_TOKENS} lines")
    for number, line in enumerate(lines, 1):
        columns = line.split()
        if columns:
            yield _read_line(columns, issuer, number)


def _read_line(columns: list[str], issuer: str | None, number: int) -> RevokedToken:
    """Read ``jti exp`` of the entry's ``iss``, or ``iss jti exp``."""
    match columns:
        case [found, jti, exp]:
            pass
        case [jti, exp] if issuer is not None:
            found = issuer
        case _:
            raise RevocationFault(
                f"tokens, line {number}: is neither 'iss jti exp' nor, where the entry has a "
                "field iss, 'jti exp'"
            )
    if max(len(found), len(jti)) > _MAX_TEXT:
        raise RevocationFault(f"tokens, line {number}: more than {_MAX_TEXT} characters")
    if not (exp.isascii() and exp.isdigit() and len(exp) <= _MAX_DIGITS and int(exp) < _LATEST):
        raise RevocationFault(f"tokens, line {number}: exp is not a time in whole Unix seconds")
    return RevokedToken(found, jti, float(exp))


def _each(
    field: str, raw: msgspec.Raw, decode: Callable[[msgspec.Raw], Any], limit: int
) -> Iterator[Any]:
    try:
        items = _list.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        hint = _LISTS_AS_TEXT if bytes(memoryview(raw)[:1]) == b'"' else ""
        raise RevocationFault(f"{field}: {exc}{hint}") from None
    if len(items) > limit:
        raise RevocationFault(f"{field}: more than {limit}")
    for position, item in enumerate(items):
        try:
            yield decode(item)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise RevocationFault(f"{field}[{position}]: {exc}") from None
