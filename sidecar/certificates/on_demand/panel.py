"""What the operator's page says of names on demand. Pure, but for pauses.

There may be twenty thousand: they are read in slices, and only the rows of one page are made.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple

from sidecar.certificates.managed.certificate import ManagedCertificate
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.panel import next_step, renew_action, renewal_findings
from sidecar.certificates.on_demand.name_table import Entry
from sidecar.common.polling import PollStatus
from sidecar.common.printable import plural
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import (
    VAULT,
    Ask,
    At,
    Mark,
    Panel,
    PanelFinding,
    Row,
    Table,
    Value,
    page_of,
    poll_findings,
)

_COLUMNS = (
    ("name", "Name"), ("tenant", "Tenant"), ("state", "State"), ("ends", "Ends"),
    ("next", "Next step"), ("next_at", "At"), ("error", "Last error"), ("renew", ""),
)  # fmt: skip
_BRIEF = ("name", "state", "ends")
_REGISTRY = (
    "Mend the registry of domains: names that are known go on, a name that is asked for the first"
    " time gets no certificate meanwhile."
)
_LIMITS = frozenset({"orders_too_fast", "domain_budget_spent", "too_many_orders"})
_SERVED, _RENEWAL_FAILS = "served", "served, renewal fails"
_OBTAINING, _FAILED = "being obtained", "not obtained"
_MARKS = {_FAILED: Severity.WARNING, _RENEWAL_FAILS: Severity.WARNING, _OBTAINING: Severity.INFO}


class NamesView(NamedTuple):
    """What the panel is made of. ``monotonic`` is the time of the entries."""

    entries: Iterable[Entry]
    manager: CertificateManager
    registry: PollStatus
    refusals: Mapping[str, int]
    open_orders: int
    monotonic: float


class Name(NamedTuple):
    """One certificate for names, and what is managed of it."""

    entry: Entry
    managed: ManagedCertificate | None

    @property
    def state(self) -> str:
        """How it is, in two words."""
        managed = self.managed
        if managed is not None and managed.material is not None:
            return _RENEWAL_FAILS if managed.failures else _SERVED
        return _FAILED if self.entry.failures else _OBTAINING

    @property
    def urgency(self) -> tuple[bool, float, str]:
        """By what names are sorted: what fails comes first, then what ends first."""
        managed = self.managed
        ends = 0.0
        failing = self.entry.failures > 0
        if managed is not None and managed.material is not None:
            ends, failing = managed.material.not_after, managed.failures > 0
        return not failing, ends, self.entry.key


class NamesOverview:
    """What one look at every name finds, as they pass by."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.failing: list[Entry] = []
        self.renewals: list[ManagedCertificate] = []

    def look(self, name: Name) -> None:
        """Take one into account."""
        state = name.state
        self.states[state] += 1
        if state == _FAILED:
            self.failing.append(name.entry)
        elif state == _RENEWAL_FAILS and name.managed is not None:
            self.renewals.append(name.managed)


async def names_panel(view: NamesView, ask: Ask) -> Panel:
    """Return the panel: names that fail first, then those whose certificates end first."""
    overview = NamesOverview()
    names = (
        Name(entry, view.manager.get(entry.key))
        for entry in view.entries
        if entry.registration is not None
    )
    shown, found = await page_of(
        names, ask, key=lambda each: each.urgency, matches=_matches, look=overview.look
    )
    rows = tuple(map(partial(_row, view, ask.now), shown))
    total = sum(overview.states.values())
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(overview.states.items()))
    refused: list[tuple[str, Value]] = [
        (f"denied: {reason}", count) for reason, count in view.refusals.items() if count
    ]
    findings = (
        *_not_obtained(overview.failing, view.monotonic, ask.now, total),
        *renewal_findings("on-demand/renewals", overview.renewals, ask.now),
        *poll_findings([view.registry], _REGISTRY),
    )
    return Panel(
        f"{plural(total, 'name')}: {states}." if total else "No name is asked for yet.",
        findings,
        (("orders under way", view.open_orders), *refused),
        (
            Table(
                "names",
                "Names",
                _COLUMNS,
                rows,
                found,
                is_paged=True,
                brief=_BRIEF,
            ),
        ),
    )


def _not_obtained(
    failing: list[Entry], monotonic: float, now: float, total: int
) -> tuple[PanelFinding, ...]:
    """Return one finding for all names without a certificate, with the newest words."""
    ordered = [each for each in failing if each.refused not in _LIMITS]
    found = []
    if limited := len(failing) - len(ordered):
        found.append(
            PanelFinding(
                Severity.WARNING,
                "on-demand/limits",
                f"{plural(limited, 'name')} wait for the limits on orders.",
                _since([e for e in failing if e.refused in _LIMITS], monotonic, now),
                "If these are customers and no flood, raise on_demand's limits; the page of names"
                " lists them.",
            )
        )
    if ordered:
        last = max(ordered, key=lambda each: each.failing_since or 0.0)
        found.append(
            PanelFinding(
                Severity.WARNING,
                "on-demand/orders",
                f"{len(ordered):,} of {plural(total, 'name')} on demand have no certificate: the"
                f" order fails. The last, {last.key!r}: {last.detail}. Handshakes for them fail.",
                _since(ordered, monotonic, now),
                "Mend what the words name at the CA. Each name is ordered again by itself when a"
                " client asks for it after its pause.",
                VAULT if all(each.is_outage for each in ordered) else "",
            )
        )
    return tuple(found)


def _since(entries: list[Entry], monotonic: float, now: float) -> float | None:
    begun = [each.failing_since for each in entries if each.failing_since is not None]
    return now + min(begun) - monotonic if begun else None


def _matches(name: Name, search: str) -> bool:
    registration = name.entry.registration
    tenant = "" if registration is None else registration.tenant_id
    return search in name.entry.key or search in tenant.lower() or search in name.state


def _row(view: NamesView, now: float, name: Name) -> Row:
    entry, managed = name.entry, name.managed
    tenant = "" if entry.registration is None else entry.registration.tenant_id
    state = Mark(name.state, _MARKS.get(name.state))
    if managed is None or managed.material is None:
        step: tuple[str, At | None] = ("an order is under way", None)
        if entry.task is None:
            at = max(now, now + entry.retry_at - view.monotonic)
            step = "ordered when it is asked for", At(at)
        return entry.key, tenant, state, None, *step, entry.detail if entry.failures else "", None
    return (
        entry.key, tenant, state, At(managed.material.not_after),
        *next_step(managed, now), managed.last_fault, renew_action(entry.key),
    )  # fmt: skip
