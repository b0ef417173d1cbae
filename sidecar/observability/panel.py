"""What a component shows an operator: plain values, of which the admin port makes HTML and JSON.

A component describes its part in a ``Panel``: a sentence, facts, tables, and a ``PanelFinding``
for each thing that is wrong. It knows nothing of pages; nothing here is escaped or formatted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from sidecar.common.polling import PollStatus
from sidecar.observability.alerts import Severity

MAX_PAGE = 40
"""The last page of a table: what comes after it is found by searching."""
MAX_SEARCH = 100
_SLICE = 500
"""Rows that are looked at between two turns of the event loop."""
VAULT = "vault"
"""The cause of what fails because Vault does not answer."""

T = TypeVar("T")


class At(NamedTuple):
    """A moment, in Unix seconds."""

    seconds: float


class Span(NamedTuple):
    """A length of time, in seconds."""

    seconds: float


class Mark(NamedTuple):
    """A word that says a state; ``severity`` is ``None`` where it is as it should be."""

    text: str
    severity: Severity | None = None


class PanelLink(NamedTuple):
    """A text that leads to a panel, with a query."""

    text: str
    panel: str
    query: tuple[tuple[str, str], ...] = ()


class Action(NamedTuple):
    """Something that an operator may do: the name of the action, and what it is done to.

    ``warning`` says what it does where that can't be taken back; then it is asked for twice.
    """

    name: str
    label: str
    target: str = ""
    warning: str = ""


Value = str | int | float | bool | None | At | Span | Mark | PanelLink | Action
Row = tuple[Value, ...]


class PanelFinding(NamedTuple):
    """One thing that is wrong, for someone who has just been woken.

    ``part`` identifies it: of two findings about one part the first is shown. ``since`` is in Unix
    seconds. What fails only because something else does has that as its ``cause``.
    """

    severity: Severity
    part: str
    wrong: str
    """A sentence, with the words of whoever refused."""
    since: float | None
    do: str
    """What to do next."""
    cause: str = ""


class Table(NamedTuple):
    """A table, or a page of one: ``columns`` are keys and titles, ``found`` is of all pages."""

    name: str
    title: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    found: int
    empty: str = "None."
    is_paged: bool = False
    """Whether it can be searched, and has more pages."""
    brief: tuple[str, ...] = ()
    """The columns that are shown where there is little room; without any the table is not."""


class Panel(NamedTuple):
    """One component's part of the operator's page."""

    summary: str
    findings: tuple[PanelFinding, ...] = ()
    facts: tuple[tuple[str, Value], ...] = ()
    tables: tuple[Table, ...] = ()
    actions: tuple[Action, ...] = ()

    @property
    def severity(self) -> Severity | None:
        """The worst of its findings."""
        return worst_of(self.findings)


class Ask(NamedTuple):
    """What somebody asks of a panel: the query of the page, and how many rows they see."""

    now: float
    query: Mapping[str, str] = MappingProxyType({})
    rows: int = 50

    @property
    def search(self) -> str:
        """What is searched for, in lower case."""
        return self.query.get("q", "")[:MAX_SEARCH].strip().lower()

    @property
    def page(self) -> int:
        """The page of a table, from 1 on."""
        asked = self.query.get("page", "1")
        is_number = asked.isascii() and asked.isdigit() and len(asked) <= len(str(MAX_PAGE))
        return min(MAX_PAGE, max(1, int(asked))) if is_number else 1


Collect = Callable[[Ask], Panel | Awaitable[Panel]]
"""Returns a panel; one that reads long tables returns an awaitable, and lets Checks run."""
Act = Callable[[str], Awaitable[str]]
"""Does something to a target; returns what was done in a sentence, or raises ``Fault``."""

_ORDER = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)


def rank(severity: Severity) -> int:
    """Return where a severity stands; the worst is 0."""
    return _ORDER.index(severity)


def worst_of(findings: Iterable[PanelFinding]) -> Severity | None:
    """Return the worst severity; ``None`` without findings."""
    return min((each.severity for each in findings), key=rank, default=None)


async def page_of(
    items: Iterable[T],
    ask: Ask,
    *,
    key: Callable[[T], Any],
    matches: Callable[[T, str], bool],
    look: Callable[[T], None] = lambda _item: None,
) -> tuple[list[T], int]:
    """Return the page of a long table that is asked for, and how many rows were found.

    Sorted by ``key``, the least first. ``look`` sees every item, found or not. The items are read
    in slices, and between two of them the event loop answers Checks.
    """
    wanted, search = ask.page * ask.rows, ask.search
    found = 0
    best: list[tuple[Any, int, T]] = []
    source = iter(items)
    while piece := list(islice(source, _SLICE)):
        for each in piece:
            look(each)
        if search:
            piece = [each for each in piece if matches(each, search)]
        best += ((key(each), found + number, each) for number, each in enumerate(piece))
        best.sort()  # sorted already but for its end: that costs little
        del best[wanted:]
        found += len(piece)
        await asyncio.sleep(0)
    return [each for _, _, each in best[wanted - ask.rows :]], found


def poll_findings(
    statuses: Iterable[PollStatus], do: str, severity: Severity = Severity.WARNING
) -> tuple[PanelFinding, ...]:
    """Return a finding for each source that can't be read.

    ``do`` is for a fault that does not know its remedy.
    """
    return tuple(
        PanelFinding(
            severity,
            status.part,
            f"{_capital(status.name)} can't be read: {status.problem}. Meanwhile {status.kept}.",
            status.failing_since,
            status.fault.remedy or do,
            VAULT if status.fault.is_outage else "",
        )
        for status in statuses
        if status.fault is not None
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def utc(seconds: float) -> str:
    """Return a moment for a sentence."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return "at no time that can be written"
