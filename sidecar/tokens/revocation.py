"""The revocation list: keys, single tokens, all tokens of a subject or of a tenant.

Tokens are identified by (``iss``, ``jti``) and never by a hash of their bytes: for every ECDSA
signature (r, s) there is a second one (r, n - s) that verifies too.

A watermark revokes everything issued before it. It is the kill switch of a subject or of
a whole tenant, and it takes effect with the next refresh.

The list consists of *parts* of a bounded size: one entry of Vault, in pieces of ``MAX_PART``
tokens. A change replaces the parts of one entry and no others, so that a long list never blocks
the event loop or a worker. ``sidecar.tokens.revocation_entry`` has the format of an entry.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import msgspec

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.claims import Claims
from sidecar.tokens.revocation_entry import (
    RevocationEntry,
    RevocationFault,
    RevokedSubject,
    RevokedTenant,
    RevokedToken,
    read_revocations,
)

__all__ = [
    "RevocationEntry",
    "RevocationFault",
    "RevokedSubject",
    "RevokedTenant",
    "RevokedToken",
    "read_revocations",
]

MAX_PART = 16_384
"""Tokens (or subjects, or tenants) in one part: a few milliseconds of work."""


class PartTables(msgspec.Struct, frozen=True, array_like=True):
    """One part as plain values, for transfer to the workers."""

    kids: tuple[str, ...] = ()
    tokens: dict[str, tuple[str, ...]] = {}
    """Ids of tokens by issuer."""
    subjects: tuple[tuple[tuple[str, str], float], ...] = ()
    tenants: tuple[tuple[str, float], ...] = ()
    ends_at: float = 0.0


class RevocationPart:
    """One part of the list, indexed for Checks. Immutable."""

    __slots__ = ("ends_at", "kids", "subjects", "tenants", "tokens")

    def __init__(self, tables: PartTables) -> None:
        self.kids = frozenset(tables.kids)
        self.tokens = {issuer: frozenset(ids) for issuer, ids in tables.tokens.items()}
        self.subjects = dict(tables.subjects)
        self.tenants = dict(tables.tenants)
        self.ends_at = tables.ends_at
        """When the whole part is obsolete (Unix seconds); infinite if it has kids."""

    def __eq__(self, other: object) -> bool:
        """Return whether both revoke the same."""
        if not isinstance(other, RevocationPart):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # compared, never looked up

    def __len__(self) -> int:
        """Count the entries."""
        tokens = sum(map(len, self.tokens.values()))
        return len(self.kids) + tokens + len(self.subjects) + len(self.tenants)

    def tables(self) -> PartTables:
        """Return the entries as plain values."""
        return PartTables(
            kids=tuple(self.kids),
            tokens={issuer: tuple(ids) for issuer, ids in self.tokens.items()},
            subjects=tuple(self.subjects.items()),
            tenants=tuple(self.tenants.items()),
            ends_at=self.ends_at,
        )


class Revocations:
    """The whole list: its parts, searched one after the other."""

    __slots__ = ("_subjects", "_tenants", "_tokens", "kids", "parts")

    def __init__(self, entry: RevocationEntry, now: float, retention_seconds: float) -> None:
        """Compile the list of a single entry (``compile_entry``)."""
        self.set_parts(compile_entry(entry, now, retention_seconds))

    @classmethod
    def of(cls, parts: Iterable[RevocationPart]) -> Self:
        """Return the list that consists of these parts."""
        made = cls.__new__(cls)
        made.set_parts(parts)
        return made

    def set_parts(self, parts: Iterable[RevocationPart]) -> None:
        """Set the parts; only for constructing the list."""
        self.parts = tuple(parts)
        self.kids: frozenset[str] = frozenset().union(*(part.kids for part in self.parts))
        # A table that no part has costs a Check nothing.
        self._tokens = tuple(part.tokens for part in self.parts if part.tokens)
        self._subjects = tuple(part.subjects for part in self.parts if part.subjects)
        self._tenants = tuple(part.tenants for part in self.parts if part.tenants)

    def __eq__(self, other: object) -> bool:
        """Return whether both revoke the same. Comparing identical parts costs nothing."""
        if not isinstance(other, Revocations):
            return NotImplemented
        return self.parts == other.parts

    __hash__ = None  # type: ignore[assignment]  # compared, never looked up

    def __len__(self) -> int:
        """Count the entries."""
        return sum(map(len, self.parts))

    def check(self, claims: Claims) -> None:
        """Raise ``Denied(token_revoked)`` for a token that is revoked."""
        for tokens in self._tokens:
            if claims.token_id in tokens.get(claims.issuer, ()):
                raise Denied(Reason.TOKEN_REVOKED, "this jti is revoked")
        for subjects in self._subjects:
            before = subjects.get((claims.issuer, claims.subject))
            if before is not None and claims.issued_at < before:
                raise Denied(Reason.TOKEN_REVOKED, "issued before the subject's watermark")
        for tenants in self._tenants:
            before = tenants.get(claims.tenant_id)
            if before is not None and claims.issued_at < before:
                raise Denied(Reason.TOKEN_REVOKED, "issued before the tenant's watermark")


def compile_entry(
    entry: RevocationEntry, now: float, retention_seconds: float
) -> tuple[RevocationPart, ...]:
    """Compile the records that are not obsolete at ``now`` (Unix seconds), part by part.

    A token that expired longer than the leeway ago, and a watermark older than the longest
    lifetime of a token (``retention_seconds`` = longest lifetime + leeway), revoke nothing.
    """
    oldest = now - retention_seconds
    subjects = _latest(((e.iss, e.sub), e.issued_before) for e in entry.subjects)
    tenants = _latest((e.tenant.lower(), e.issued_before) for e in entry.tenants)
    parts: list[PartTables] = []
    if entry.kids:
        parts.append(PartTables(kids=entry.kids, ends_at=float("inf")))
    parts += _token_parts((e for e in entry.tokens if e.exp > oldest), retention_seconds)
    parts += (
        PartTables(subjects=tuple(chosen), ends_at=_end(chosen, retention_seconds))
        for chosen in _pieces(item for item in subjects.items() if item[1] > oldest)
    )
    parts += (
        PartTables(tenants=tuple(chosen), ends_at=_end(chosen, retention_seconds))
        for chosen in _pieces(item for item in tenants.items() if item[1] > oldest)
    )
    return tuple(map(RevocationPart, parts))


def _token_parts(tokens: Iterable[Any], retention_seconds: float) -> Iterator[PartTables]:
    for chosen in _pieces(tokens):
        by_issuer: dict[str, list[str]] = {}
        for each in chosen:
            by_issuer.setdefault(each.iss, []).append(each.jti)
        yield PartTables(
            tokens={issuer: tuple(ids) for issuer, ids in by_issuer.items()},
            ends_at=max(each.exp for each in chosen) + retention_seconds,
        )


def _pieces(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield the items in lists of at most ``MAX_PART``."""
    piece: list[Any] = []
    for item in items:
        piece.append(item)
        if len(piece) == MAX_PART:
            yield piece
            piece = []
    if piece:
        yield piece


def _latest(marks: Iterable[tuple[Any, float]]) -> Mapping[Any, float]:
    """Keep the latest watermark of each key."""
    latest: dict[Any, float] = {}
    for key, before in marks:
        latest[key] = max(before, latest.get(key, before))
    return latest


def _end(marks: Iterable[tuple[Any, float]], retention_seconds: float) -> float:
    return max(before for _, before in marks) + retention_seconds


NOTHING_REVOKED = Revocations.of(())
