"""The store of reports: counts by directive, a bounded table, and the latest reports.

Every structure here is bounded, because anyone may send reports. If the table is full, the
rarest row of the same tenant is dropped: a flood of invented origins displaces itself, not
what is really seen often, and not another tenant's rows.
"""

from collections import Counter, deque
from typing import Any, NamedTuple

MAX_DISTINCT = 64
"""Distinct documents and clients of a row that are told apart; more are not counted."""
_TENANT_SHARE = 4
"""The share of the table that one tenant may fill."""


class Seen(NamedTuple):
    """One report as it is stored and forwarded. It has no path and no query."""

    at: float
    tenant: str
    """The tenant's id; empty for a host that is no tenant's."""
    document: str
    directive: str
    blocked: str
    disposition: str
    source: str
    document_id: str
    """A keyed hash of the page's URL: equal for the same page, until the process ends."""
    client_id: str
    """A keyed hash of the client's network, likewise."""


class Key(NamedTuple):
    """A row of the table."""

    tenant: str
    document: str
    directive: str
    blocked: str
    disposition: str


class ReportRow:
    """How often something was reported, from how many pages and clients, and when."""

    __slots__ = ("clients", "count", "documents", "first", "last")

    def __init__(self, at: float) -> None:
        self.count = 0
        self.first = self.last = at
        self.documents: set[str] = set()
        self.clients: set[str] = set()

    def add(self, seen: Seen) -> None:
        """Count one report."""
        self.count += 1
        self.last = seen.at
        if len(self.documents) < MAX_DISTINCT:
            self.documents.add(seen.document_id)
        if len(self.clients) < MAX_DISTINCT:
            self.clients.add(seen.client_id)


class ReportStore:
    """The table of ``max_rows`` and the ``keep`` latest reports."""

    def __init__(self, *, max_rows: int, keep: int) -> None:
        self.latest: deque[Seen] = deque(maxlen=keep)
        self._max_rows = max_rows
        self._rows: dict[Key, ReportRow] = {}
        self._rows_of: Counter[str] = Counter()
        self.violations: Counter[tuple[str, str]] = Counter()
        """By directive and disposition: both are closed sets."""
        self.pushed_out = 0

    def use(self, *, max_rows: int, keep: int) -> None:
        """Have other bounds from now on; what is beyond them is dropped, the rarest row first."""
        self._max_rows = max_rows
        self.latest = deque(self.latest, maxlen=keep)
        rarest_first = sorted(self._rows.items(), key=_rarity)
        for key, _ in rarest_first[: max(0, len(rarest_first) - max_rows)]:
            self._drop(key)

    @property
    def _max_rows_of_tenant(self) -> int:
        return max(1, self._max_rows // _TENANT_SHARE)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, seen: Seen) -> None:
        """Count and store one report."""
        self.latest.append(seen)
        self.violations[seen.directive, seen.disposition] += 1
        key = Key(seen.tenant, seen.document, seen.directive, seen.blocked, seen.disposition)
        row = self._rows.get(key)
        if row is None:
            self._make_room(seen.tenant)
            row = self._rows[key] = ReportRow(seen.at)
            self._rows_of[seen.tenant] += 1
        row.add(seen)

    def rows(self) -> list[tuple[Key, ReportRow]]:
        """Return the table, the most frequent first."""
        return sorted(self._rows.items(), key=lambda item: (-item[1].count, item[0]))

    def document(self) -> dict[str, Any]:
        """Return all of it as plain values, for JSON."""
        return {
            "rows": [
                {
                    **key._asdict(),
                    "count": row.count,
                    "documents": len(row.documents),
                    "clients": len(row.clients),
                    "first": row.first,
                    "last": row.last,
                }
                for key, row in self.rows()
            ],
            "latest": [seen._asdict() for seen in reversed(self.latest)],
            "pushed_out": self.pushed_out,
        }

    def _make_room(self, tenant: str) -> None:
        if self._rows_of[tenant] >= self._max_rows_of_tenant:
            self._push_out([item for item in self._rows.items() if item[0].tenant == tenant])
        elif len(self._rows) >= self._max_rows:
            largest = max(self._rows_of.values())
            full = {name for name, count in self._rows_of.items() if count == largest}
            self._push_out([item for item in self._rows.items() if item[0].tenant in full])

    def _push_out(self, candidates: list[tuple[Key, ReportRow]]) -> None:
        self._drop(min(candidates, key=_rarity)[0])

    def _drop(self, key: Key) -> None:
        del self._rows[key]
        self._rows_of[key.tenant] -= 1
        if not self._rows_of[key.tenant]:
            del self._rows_of[key.tenant]
        self.pushed_out += 1


def _rarity(item: tuple[Key, ReportRow]) -> tuple[int, float]:
    return item[1].count, item[1].last
