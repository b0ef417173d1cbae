"""What is revoked before its time: keys, single tokens, a subject's, a tenant's.

Tokens are named by (``iss``, ``jti``) and never by a hash of their bytes: an ECDSA
signature (r, s) has a twin (r, n - s) that verifies too, and would pass.

A watermark revokes everything issued before it. It is the kill switch of a subject or of
a whole tenant, and it takes effect with the next refresh.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from sidecar.errors import Denied, Fault
from sidecar.reasons import Reason
from sidecar.tokens.claims import Claims

MAX_ENTRIES = 100_000

Text = Annotated[str, Meta(min_length=1, max_length=1024)]
Moment = Annotated[float, Meta(ge=0, lt=253_402_300_800)]


class RevocationFault(Fault):
    """The list can't be read. The one before it stays in force."""


class RevokedToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One token; forgotten after ``exp``, when it is refused for its age."""

    iss: Text
    jti: Text
    exp: Moment


class RevokedSubject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything issued to a subject before a moment (Unix seconds)."""

    iss: Text
    sub: Text
    issued_before: Moment


class RevokedTenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything issued for a tenant before a moment (Unix seconds)."""

    tenant: Text
    issued_before: Moment


class RevocationEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The entry in Vault KV, field by field. All of them may be left out."""

    kids: Annotated[tuple[Text, ...], Meta(max_length=1024)] = ()
    tokens: Annotated[tuple[RevokedToken, ...], Meta(max_length=MAX_ENTRIES)] = ()
    subjects: Annotated[tuple[RevokedSubject, ...], Meta(max_length=MAX_ENTRIES)] = ()
    tenants: Annotated[tuple[RevokedTenant, ...], Meta(max_length=MAX_ENTRIES)] = ()


class RevocationTables(msgspec.Struct, frozen=True, array_like=True):
    """The compiled list as plain values, for processes that are given it ready-made."""

    kids: tuple[str, ...] = ()
    tokens: tuple[tuple[str, str], ...] = ()
    subjects: tuple[tuple[tuple[str, str], float], ...] = ()
    tenants: tuple[tuple[str, float], ...] = ()


class Revocations:
    """The list in the form a Check asks it: three look-ups, none where a kind is empty."""

    __slots__ = ("_subjects", "_tenants", "_tokens", "kids")

    def __init__(self, entry: RevocationEntry, now: float, memory_seconds: float) -> None:
        """Compile what still matters at ``now``.

        A token that ended more than the leeway ago, and a watermark older than any token
        can live (``memory_seconds`` = longest life + leeway), refuse nothing any more.
        """
        oldest = now - memory_seconds
        self.kids: frozenset[str] = frozenset(entry.kids)
        self._tokens = frozenset((each.iss, each.jti) for each in entry.tokens if each.exp > oldest)
        self._subjects = _latest(((e.iss, e.sub), e.issued_before) for e in entry.subjects)
        self._tenants = _latest((e.tenant.lower(), e.issued_before) for e in entry.tenants)
        for marks in (self._subjects, self._tenants):
            for key in [key for key, before in marks.items() if before <= oldest]:
                del marks[key]

    def __eq__(self, other: object) -> bool:
        """Whether both refuse the same."""
        if not isinstance(other, Revocations):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # compared, never looked up

    def tables(self) -> RevocationTables:
        """Return what is held."""
        return RevocationTables(
            kids=tuple(self.kids),
            tokens=tuple(self._tokens),
            subjects=tuple(self._subjects.items()),
            tenants=tuple(self._tenants.items()),
        )

    @classmethod
    def restore(cls, tables: RevocationTables) -> "Revocations":
        """Make the same list of its tables."""
        restored = cls(RevocationEntry(), 0.0, 0.0)
        restored.kids = frozenset(tables.kids)
        restored._tokens = frozenset(tables.tokens)
        restored._subjects = dict(tables.subjects)
        restored._tenants = dict(tables.tenants)
        return restored

    def __len__(self) -> int:
        """Count what is held."""
        return len(self.kids) + len(self._tokens) + len(self._subjects) + len(self._tenants)

    def check(self, claims: Claims) -> None:
        """Raise ``Denied(token_revoked)`` for a token that is revoked."""
        if self._tokens and (claims.issuer, claims.token_id) in self._tokens:
            raise Denied(Reason.TOKEN_REVOKED, "this jti is revoked")
        if self._subjects:
            before = self._subjects.get((claims.issuer, claims.subject))
            if before is not None and claims.issued_at < before:
                raise Denied(Reason.TOKEN_REVOKED, "issued before the subject's watermark")
        if self._tenants:
            before = self._tenants.get(claims.tenant_id)
            if before is not None and claims.issued_at < before:
                raise Denied(Reason.TOKEN_REVOKED, "issued before the tenant's watermark")


def _latest(marks: Any) -> dict[Any, float]:
    """Keep the latest watermark of each key."""
    latest: dict[Any, float] = {}
    for key, before in marks:
        latest[key] = max(before, latest.get(key, before))
    return latest


def read_revocations(data: Mapping[str, Any]) -> RevocationEntry:
    """Read the entry strictly; raises ``RevocationFault`` saying where it is wrong."""
    try:
        return msgspec.convert(dict(data), RevocationEntry)
    except msgspec.ValidationError as exc:
        raise RevocationFault(f"the list of revocations is not understood: {exc}") from None


NOTHING_REVOKED = Revocations(RevocationEntry(), 0.0, 0.0)
