"""The names that are served on demand, and the certificate each is served from. Pure.

A certificate may serve many names (a wildcard), a name may be asked for in many spellings,
and Envoy holds one resource per spelling. The table is bounded: the name that was asked for
least recently is dropped first.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

from sidecar.certificates.on_demand.domains import Registration

MAX_SPELLINGS = 8
"""Of one name besides its normal form: a name of n letters has 2^n spellings."""


class Entry:
    """One certificate that names are served from, or will be."""

    __slots__ = (
        "asked", "detail", "failing_since", "failures", "is_outage", "key", "refused",
        "registration", "retry_at", "served", "task",
    )  # fmt: skip

    def __init__(self, key: str, registration: Registration | None) -> None:
        self.key = key
        """Its key in the store: a host name, a wildcard, or its name in the configuration."""
        self.registration = registration
        """The registration it is ordered for; ``None`` for a configured certificate."""
        self.asked: set[str] = set()
        """The spellings that are served from it."""
        self.task: Any = None
        """The task that obtains it, while there is one."""
        self.served = False
        """Whether it was ever available."""
        self.failures = 0
        self.retry_at = 0.0
        self.refused = ""
        """The reason why the last order failed."""
        self.detail = ""
        """Why, in the words of whoever refused."""
        self.failing_since: float | None = None
        """When the first order failed since the last that did not (the table's time)."""
        self.is_outage = False
        """Whether it failed because Vault did not answer."""


class _Asked(NamedTuple):
    canonical: str
    entry: Entry
    at: float


class NameTable:
    """Spellings, normal forms and certificates. Times are seconds."""

    def __init__(self) -> None:
        self._asked: OrderedDict[str, _Asked] = OrderedDict()
        """By spelling; the least recently asked for comes first."""
        self._entries: dict[str, Entry] = {}
        self._spellings: dict[str, int] = {}
        """How many spellings of a normal form there are, without the form itself."""

    def __len__(self) -> int:
        """How many spellings there are."""
        return len(self._asked)

    def __contains__(self, asked: object) -> bool:
        return asked in self._asked

    def names(self) -> set[str]:
        """Return the normal forms of all names."""
        return {each.canonical for each in self._asked.values()}

    def entries(self) -> Iterator[Entry]:
        """Iterate over a copy of the certificates; the table may change meanwhile."""
        return iter(tuple(self._entries.values()))

    def canonical(self, asked: str) -> str | None:
        """Return the normal form of a known spelling."""
        known = self._asked.get(asked)
        return None if known is None else known.canonical

    def entry_of(self, asked: str) -> Entry | None:
        """Return the certificate that a spelling is served from."""
        known = self._asked.get(asked)
        return None if known is None else known.entry

    def entry(self, key: str, registration: Registration | None) -> Entry:
        """Return a certificate's entry; a new one is stored once a name is put to it."""
        return self._entries.get(key) or Entry(key, registration)

    def holds(self, entry: Entry) -> bool:
        """Tell whether names are served from this very entry."""
        return self._entries.get(entry.key) is entry

    def has_room(self, asked: str, canonical: str) -> bool:
        """Tell whether one more spelling of a name may be served."""
        return asked == canonical or self._spellings.get(canonical, 0) < MAX_SPELLINGS

    def put(self, asked: str, canonical: str, entry: Entry, now: float) -> Entry | None:
        """Store that a name is served from an entry.

        Returns the entry it was served from before, if that serves no name any more.
        """
        before = self._asked.pop(asked, None)
        if before is None and asked != canonical:
            self._spellings[canonical] = self._spellings.get(canonical, 0) + 1
        self._asked[asked] = _Asked(canonical, entry, now)
        self._entries[entry.key] = entry
        entry.asked.add(asked)
        if before is None or before.entry is entry:
            return None
        return self._leave(asked, before.entry)

    def remove(self, asked: str) -> Entry | None:
        """Remove a spelling; return its entry if that serves no name any more."""
        canonical, entry, _ = self._asked.pop(asked)
        if asked != canonical:
            left = self._spellings.pop(canonical) - 1
            if left:
                self._spellings[canonical] = left
        return self._leave(asked, entry)

    def excess(self, max_names: int, asked_before: float, limit: int) -> list[str]:
        """Return at most ``limit`` names to drop: beyond ``max_names``, or unused for long."""
        found: list[str] = []
        too_many = len(self._asked) - max_names
        for asked, (_, _, at) in self._asked.items():
            if len(found) >= limit or (len(found) >= too_many and at >= asked_before):
                break
            found.append(asked)
        return found

    def _leave(self, asked: str, entry: Entry) -> Entry | None:
        entry.asked.discard(asked)
        if entry.asked:
            return None
        if self.holds(entry):
            del self._entries[entry.key]
        return entry
