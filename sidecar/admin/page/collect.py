"""Collects the panels on the event loop: one look for all who ask at once.

A panel that can't be made is shown as such, and counted; the others are shown all the same.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sidecar.admin.page.catalog import PANELS
from sidecar.admin.page.status import START, Status, status_of
from sidecar.common.clock import Now
from sidecar.observability.alerts import Severity
from sidecar.observability.health import Health
from sidecar.observability.panel import Ask, Collect, Panel, PanelFinding

CARD_ROWS = 5


class Overview(NamedTuple):
    """Everything the first page shows. ``at`` is in Unix seconds."""

    at: float
    status: Status
    panels: tuple[tuple[str, Panel], ...]


class PanelCollector:
    """Asks the components for their panels. ``panels`` is what they have added by now."""

    def __init__(
        self,
        panels: Mapping[str, Collect],
        health: Health,
        now: Now,
        on_fault: Callable[[Exception], None],
    ) -> None:
        self._panels = panels
        self._health = health
        self._now = now
        self._on_fault = on_fault

    async def overview(self) -> Overview:
        """Return all panels in short, and the status."""
        now = self._now()
        found = [
            (each.name, await self.panel(each.name, Ask(now, rows=CARD_ROWS))) for each in PANELS
        ]
        health = self._health
        status = status_of(health.problems, health.since, health.ready_since, found)
        return Overview(now, status, tuple(found))

    async def panel(self, name: str, ask: Ask) -> Panel:
        """Return one panel; what is said of it while no component provides it."""
        collect = self._panels.get(name)
        if collect is None:
            absent = next(each.absent for each in PANELS if each.name == name)
            return Panel("Not started yet." if START in self._health.problems else absent)
        try:
            panel = collect(ask)
            return await panel if inspect.isawaitable(panel) else panel
        except Exception as exc:  # noqa: BLE001 - one component's defect hides no other's part
            self._on_fault(exc)
            return Panel("This part can't be shown.", (_defect(name, exc),))


def _defect(name: str, exc: Exception) -> PanelFinding:
    return PanelFinding(
        Severity.WARNING,
        f"panel/{name}",
        f"This part can't be shown: internal error ({type(exc).__name__}).",
        None,
        "Report it, with the traceback in the log. Nothing else is affected.",
    )
