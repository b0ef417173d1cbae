"""The sentence at the top: is it ready, what is wrong, since when, and what to do. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sidecar.observability.alerts import Severity
from sidecar.observability.panel import Panel, PanelFinding, rank

START, DRAIN = "start", "drain"
_DO = {
    START: "Wait, or mend what it waits for: the log says the same every five seconds, and ends"
    " with the reason if the start fails.",
    DRAIN: "Nothing: calls in flight are answered, then the process ends.",
    "workers": "Look at the card of Checks: how the workers ended. If all end at once, look at"
    " memory (`dmesg | grep -i oom`) and at the log's last lines of each.",
    "checks": "Restart the sidecar, and report it with the log: calls are no longer taken from"
    " their queue.",
    "audit": "Restart the sidecar, and report it with the log: the thread that writes audit lines"
    " has ended by a bug.",
    "certificates": "Look at the card of certificates: which are not there, and what their issuer"
    " said. Checks are answered meanwhile.",
}
_OTHERWISE = "The log has more. If it lasts, restart the sidecar and report it."


_READY = {
    Severity.CRITICAL: "Ready, and something needs you now",
    Severity.WARNING: "Ready, and something needs you",
    Severity.INFO: "Ready, and something is worth a look",
    None: "Ready",
}


class PlacedFinding(NamedTuple):
    """A finding, the panel that it is of, and what fails only because of it."""

    finding: PanelFinding
    panel: str
    follows: tuple[PanelFinding, ...] = ()

    @property
    def severity(self) -> Severity:
        """The worst of it and of what follows."""
        return min((each.severity for each in (self.finding, *self.follows)), key=rank)


class Status(NamedTuple):
    """The state of the whole. ``since`` is when the readiness of now began (Unix seconds)."""

    ready: bool
    headline: str
    since: float
    findings: tuple[PlacedFinding, ...]
    """The worst first."""

    @property
    def severity(self) -> Severity | None:
        """The worst of the findings."""
        return self.findings[0].severity if self.findings else None


def health_findings(problems: Mapping[str, str], since: Mapping[str, float]) -> list[PanelFinding]:
    """Return a finding for each part that keeps the sidecar from being ready."""
    return [
        PanelFinding(
            Severity.WARNING if part in {START, DRAIN} else Severity.CRITICAL,
            part,
            f"{_NAMES.get(part, part.capitalize())}: {problem}.",
            since.get(part),
            _DO.get(part, _OTHERWISE),
        )
        for part, problem in problems.items()
    ]


_NAMES = {START: "The start", DRAIN: "The end", "checks": "Checks"}


def status_of(
    problems: Mapping[str, str],
    since: Mapping[str, float],
    ready_since: float,
    panels: Iterable[tuple[str, Panel]],
) -> Status:
    """Return the status: health first, then what the panels found, each part once.

    What fails only because something else does is put under that.
    """
    placed: dict[str, PlacedFinding] = {
        each.part: PlacedFinding(each, each.part) for each in health_findings(problems, since)
    }
    for name, panel in panels:
        for finding in panel.findings:
            placed.setdefault(finding.part, PlacedFinding(finding, name))
    found = sorted(_folded(placed), key=lambda each: _place(each, problems))
    return Status(not problems, headline(problems, found), ready_since, tuple(found))


def _folded(placed: Mapping[str, PlacedFinding]) -> Iterable[PlacedFinding]:
    for each in placed.values():
        if not each.finding.cause or each.finding.cause not in placed:
            part = each.finding.part
            follows = (other.finding for other in placed.values() if other.finding.cause == part)
            yield each._replace(follows=tuple(follows))


def _place(each: PlacedFinding, problems: Mapping[str, str]) -> tuple[bool, int]:
    return each.finding.part not in problems, rank(each.severity)


def headline(problems: Mapping[str, str], found: Sequence[PlacedFinding]) -> str:
    """Return the state in a few words."""
    for part, words in ((DRAIN, "Shutting down"), (START, "Starting")):
        if part in problems:
            return words
    if problems:
        return "Not ready"
    return _READY[min((each.severity for each in found), key=rank, default=None)]
