"""How what is revoked is written in an entry of Vault KV v2, and how one is read.

Every field may be left out; one that is not known is refused, because half a kill switch is
worse than an error. ``tokens`` may be written in two ways. As a list of objects it can be
read by anyone, and a Vault that was not tuned takes 199 of them. As one text with a token a
line (``<jti> <exp>``, and ``iss`` once beside it) it is one JSON string, and 20,000 tokens
fit into the megabyte that Vault's own storage takes.

An entry is read piece by piece: no single call into a library goes on for as long as a
long list would take it, so that other threads, the event loop's first of all, are not
kept waiting by the interpreter's lock.
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

Text = Annotated[str, Meta(min_length=1, max_length=_MAX_TEXT)]
Moment = Annotated[float, Meta(ge=0, lt=_LATEST)]


class RevocationFault(Fault):
    """The list can't be read. The one before it stays in force."""


class RevokedToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One token; forgotten after ``exp``, when it is refused for its age."""

    iss: Text
    jti: Text
    exp: Moment


class RevokedSubject(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Everything issued to a subject before a moment (Unix seconds)."""

    iss: Text
    sub: Text
    issued_before: Moment


class RevokedTenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Everything issued for a tenant before a moment (Unix seconds)."""

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
    """Read an entry's JSON object strictly. Raises ``RevocationFault`` saying where it is wrong."""
    try:
        fields = _fields.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise RevocationFault(str(exc)) from None
    return RevocationEntry(
        tuple(fields.kids),
        tuple(_read_tokens(fields.tokens, fields.iss)),
        tuple(_each("subjects", fields.subjects, _subject.decode, MAX_MARKS)),
        tuple(_each("tenants", fields.tenants, _tenant.decode, MAX_MARKS)),
    )


def read_revocations(data: Mapping[str, Any]) -> RevocationEntry:
    """Read an entry that was decoded already: of a file, or of a test."""
    return read_entry(msgspec.json.encode(dict(data)))


def _read_tokens(raw: msgspec.Raw, issuer: str | None) -> Iterator[RevokedToken]:
    if bytes(memoryview(raw)[:1]) != b'"':
        yield from _each("tokens", raw, _token.decode, MAX_TOKENS)
        return
    try:
        text = _text.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise RevocationFault(f"tokens: {exc}") from None
    lines = text.split("\n")
    if len(lines) > MAX_TOKENS:
        raise RevocationFault(f"tokens: more than {MAX_TOKENS} lines")
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words:
            yield _read_line(words, issuer, number)


def _read_line(words: list[str], issuer: str | None, number: int) -> RevokedToken:
    """Read ``jti exp`` of the entry's ``iss``, or ``iss jti exp``."""
    if len(words) == 2 and issuer is not None:  # noqa: PLR2004 - the words of a line
        words = [issuer, *words]
    if len(words) != 3:  # noqa: PLR2004
        raise RevocationFault(
            f"tokens, line {number}: is neither 'iss jti exp' nor, where the entry has a field "
            "iss, 'jti exp'"
        )
    found, jti, exp = words
    if max(len(found), len(jti)) > _MAX_TEXT:
        raise RevocationFault(f"tokens, line {number}: more than {_MAX_TEXT} characters")
    if not (exp.isascii() and exp.isdigit() and len(exp) < 16 and int(exp) < _LATEST):  # noqa: PLR2004
        raise RevocationFault(f"tokens, line {number}: exp is no time in whole Unix seconds")
    return RevokedToken(found, jti, float(exp))


def _each(
    field: str, raw: msgspec.Raw, decode: Callable[[msgspec.Raw], Any], limit: int
) -> Iterator[Any]:
    try:
        items = _list.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise RevocationFault(f"{field}: {exc}") from None
    if len(items) > limit:
        raise RevocationFault(f"{field}: more than {limit}")
    for position, item in enumerate(items):
        try:
            yield decode(item)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise RevocationFault(f"{field}[{position}]: {exc}") from None
