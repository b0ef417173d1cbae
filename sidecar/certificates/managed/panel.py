"""What the operator's page says of the configured certificates. Pure, but for pauses."""

from collections.abc import Container, Mapping
from functools import partial
from typing import NamedTuple

from sidecar.certificates.managed.admin import state_of
from sidecar.certificates.managed.certificate import NEVER, ManagedCertificate
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.probe import ProbeView, Target
from sidecar.certificates.managed.renewal import Level
from sidecar.common.printable import plural
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import (
    VAULT,
    Action,
    Ask,
    At,
    Mark,
    Panel,
    PanelFinding,
    Row,
    Table,
    Value,
    page_of,
    utc,
)

_COLUMNS = (
    ("name", "Name"), ("names", "For"), ("issuer", "Issuer"), ("state", "State"),
    ("ends", "Ends"), ("next", "Next step"), ("next_at", "At"), ("error", "Last error"),
    ("probe", "The probe saw"), ("renew", ""), ("revoke", ""),
)  # fmt: skip
_MAX_NAMES = 3
_NEAR = frozenset({Level.CRITICAL, Level.ENDED})
_STATES = {
    "held": None,
    "renewing": None,
    "pending": Severity.INFO,
    "failed": Severity.WARNING,
    "revoked": Severity.CRITICAL,
    "expired": Severity.CRITICAL,
}


class CertificatesOverview:
    """What one look at every certificate finds, as the rows pass by."""

    def __init__(self) -> None:
        self.states: dict[str, int] = {}
        self.failing: list[ManagedCertificate] = []
        self.revoked: list[ManagedCertificate] = []

    def look(self, managed: ManagedCertificate) -> None:
        """Take one into account."""
        state = state_of(managed)
        self.states[state] = self.states.get(state, 0) + 1
        if managed.failures or managed.level is Level.ENDED:
            self.failing.append(managed)
        elif managed.revoked:
            self.revoked.append(managed)


class CertificatesView(NamedTuple):
    """What the panel is made of."""

    manager: CertificateManager
    configured: Container[str]
    targets: Mapping[str, Target]
    probes: Mapping[str, ProbeView]


async def certificates_panel(view: CertificatesView, ask: Ask) -> Panel:
    """Return the panel: those that fail first, then those that end first."""
    overview = CertificatesOverview()
    ours = (each for each in view.manager if each.name in view.configured)
    held, found = await page_of(ours, ask, key=urgency, matches=_matches, look=overview.look)
    rows = tuple(map(partial(_row, view, ask.now), held))
    table = Table(
        "certificates",
        "Configured certificates",
        _COLUMNS,
        rows,
        found,
        is_paged=True,
        brief=("name", "state", "ends", "next"),
    )
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(overview.states.items()))
    total = sum(overview.states.values())
    findings = (
        *renewal_findings("certificates", overview.failing, ask.now),
        *_revoked(overview.revoked),
        *_probed(view),
    )
    facts: tuple[tuple[str, Value], ...] = ()
    ends = [each.seconds_left(ask.now) for each in held if each.material is not None]
    if ends and ask.page == 1 and not ask.search:
        facts = (("the first that ends", At(ask.now + min(ends))),)
    summary = f"{plural(total, 'configured certificate')}: {states}." if total else "None."
    return Panel(summary, findings, facts, (table,))


def urgency(managed: ManagedCertificate) -> tuple[bool, float, str]:
    """Return by what certificates are sorted: what fails comes first, then what ends first."""
    is_well = not (managed.failures or managed.revoked or managed.level is Level.ENDED)
    ends = 0.0 if managed.material is None else managed.material.not_after
    return is_well, ends, managed.name


def renewal_findings(
    part: str, failing: list[ManagedCertificate], now: float
) -> tuple[PanelFinding, ...]:
    """Return one finding for all certificates whose orders fail, about the one that ends first."""
    if not failing:
        return ()
    first = min(failing, key=urgency)
    what = f"Certificate {first.name!r} can't be renewed"
    if len(failing) > 1:
        what = (
            f"{len(failing):,} certificates can't be renewed; the first that ends is {first.name!r}"
        )
    left = first.seconds_left(now)
    if left:
        served = f"It is served until it ends, {utc(now + left)}."
    else:
        served = "It is not served any more: handshakes for it fail or get an old one."
    is_near = any(each.level in _NEAR or not each.seconds_left(now) for each in failing)
    since = [each.failing_since for each in failing if each.failing_since is not None]
    return (
        PanelFinding(
            Severity.CRITICAL if is_near else Severity.WARNING,
            part,
            f"{what} ({plural(first.failures, 'failure')}): {first.last_fault}. {served}",
            min(since, default=None),
            f"Mend what issuer {first.issuer.name!r} names in these words. It is ordered again"
            f" by itself at {utc(first.try_at)}, or at once by “Renew” on the page of"
            " certificates.",
            VAULT if all(each.is_outage for each in failing) else "",
        ),
    )


def _revoked(revoked: list[ManagedCertificate]) -> tuple[PanelFinding, ...]:
    return tuple(
        PanelFinding(
            Severity.CRITICAL,
            f"revoked/{each.name}",
            f"Certificate {each.name!r} was revoked and is not replaced yet: no other Envoy gets"
            " it, and one that has it goes on serving it.",
            each.revoked_since,
            f"Another is ordered {utc(each.try_at)}. If its key was stolen, look at who could"
            " read it before you trust the next.",
        )
        for each in revoked[:_MAX_NAMES]
    )


def _probed(view: CertificatesView) -> tuple[PanelFinding, ...]:
    return tuple(
        PanelFinding(
            Severity.WARNING,
            f"probe/{name}",
            f"The listener at {view.targets[name].settings.address} does not serve certificate"
            f" {name!r} as it was given: {probe.difference}.",
            probe.since,
            "Look at Envoy's log and its stats (`/stats?filter=ssl_context_update|update_rejected`)"
            " for a rejected secret; that the listener names this certificate and this sidecar;"
            " and restart Envoy if it holds on to an old one.",
        )
        for name, probe in view.probes.items()
        if probe.difference and name in view.targets
    )


def _matches(managed: ManagedCertificate, search: str) -> bool:
    order = managed.order
    words = (
        managed.name,
        managed.issuer.name,
        state_of(managed),
        *order.dns_names,
        *order.uri_sans,
    )
    return any(search in word.lower() for word in words)


def _row(view: CertificatesView, now: float, managed: ManagedCertificate) -> Row:
    order, material = managed.order, managed.material
    names = [*order.dns_names, *order.uri_sans, *order.ip_sans]
    shown = ", ".join(names[:_MAX_NAMES])
    if len(names) > _MAX_NAMES:
        shown += f" and {len(names) - _MAX_NAMES} more"
    state = state_of(managed)
    step, at = next_step(managed, now)
    return (
        managed.name, shown, managed.issuer.name,
        Mark(state, _STATES.get(state)),
        None if material is None else At(material.not_after),
        step, at, managed.last_fault, _probe_words(view, managed.name),
        renew_action(managed.name),
        _revoke_action(managed),
    )  # fmt: skip


def next_step(managed: ManagedCertificate, now: float) -> tuple[str, At | None]:
    """Return what is done next about a certificate, and when."""
    if managed.running:
        return "an order is under way", None
    due = min(managed.try_at, managed.ask_at)
    if due >= NEVER:
        return "nothing is planned", None
    if managed.ask_at < managed.try_at:
        return "ask the CA when to renew", At(managed.ask_at)
    return ("try again" if managed.failures else "renew"), At(max(managed.try_at, now))


def renew_action(name: str) -> Action:
    """Return the button that renews a certificate."""
    return Action("renew", "Renew", name)


def _revoke_action(managed: ManagedCertificate) -> Value:
    if managed.material is None or managed.revoked:
        return None
    return Action(
        "revoke",
        "Revoke …",
        managed.name,
        f"The CA revokes the certificate {managed.name!r} that is served now (serial"
        f" {managed.material.serial}). It is given to no other Envoy from then on, and another is"
        " ordered at once. This can't be taken back.",
    )


def _probe_words(view: CertificatesView, name: str) -> Value:
    probe = view.probes.get(name)
    if probe is None:
        return "not yet" if name in view.targets else "not probed"
    return Mark(probe.difference, Severity.WARNING) if probe.difference else Mark("what was given")
