"""What the operator's page says of Vault: whether it answers, our login, its last error. Pure."""

from typing import NamedTuple

from sidecar.common.polling import PollStatus
from sidecar.config import model
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import (
    VAULT,
    Ask,
    At,
    Mark,
    Panel,
    PanelFinding,
    Span,
    Value,
    poll_findings,
)
from sidecar.vault.auth import TokenLease
from sidecar.vault.contact import MAX_SKEW_SECONDS, FailedCall, VaultContact

_LOGIN = (
    "Read what Vault says, mend the credential of vault.auth or its role, then wait half a minute."
)


class VaultView(NamedTuple):
    """What the panel is made of. ``monotonic`` is the time by which leases are measured."""

    settings: model.Vault
    contact: VaultContact
    lease: TokenLease | None
    login: PollStatus
    monotonic: float


def vault_panel(view: VaultView, ask: Ask) -> Panel:
    """Return the panel."""
    contact, address = view.contact, view.settings.address
    if contact.is_healthy:
        summary = f"{address} answers."
    else:
        summary = f"{address} does not answer as it should."
    if contact.answered_at is None:
        summary = f"{address} has answered no call yet."
    return Panel(
        summary,
        (*_outage(view), *poll_findings([view.login], _LOGIN), *_skew(contact, address)),
        tuple(_facts(view, ask.now)),
    )


def _outage(view: VaultView) -> tuple[PanelFinding, ...]:
    failed = view.contact.failed
    if view.contact.is_healthy or failed is None:
        return ()
    return (
        PanelFinding(
            Severity.WARNING,
            VAULT,
            f"Vault does not answer. {failed.fault}.",
            view.contact.since,
            f"{failed.fault.remedy} No new key, revocation or certificate arrives until then.",
        ),
    )


def _skew(contact: VaultContact, address: str) -> tuple[PanelFinding, ...]:
    ahead = contact.clock_ahead_seconds
    if ahead is None or abs(ahead) <= MAX_SKEW_SECONDS:
        return ()
    direction = "behind" if ahead > 0 else "ahead of"
    return (
        PanelFinding(
            Severity.WARNING,
            "clock",
            f"This machine's clock is {abs(ahead):.0f} s {direction} that of Vault at {address}."
            " By a wrong clock good tokens are denied as expired or not yet valid, and bad ones"
            " accepted.",
            contact.skewed_since,
            "Compare `date -u` on both machines with a clock that is right, and mend the time"
            " service (`chronyc tracking`, `timedatectl`) of the one that is wrong.",
        ),
    )


def _facts(view: VaultView, now: float) -> list[tuple[str, Value]]:
    contact, lease = view.contact, view.lease
    method = view.settings.auth.__struct_config__.tag
    state = Mark("answers") if contact.is_healthy else Mark("does not answer", Severity.WARNING)
    facts: list[tuple[str, Value]] = [
        ("state", state),
        ("since", At(contact.since)),
        ("login", f"{method}: {_login_words(view)}"),
        ("last success", None if contact.answered_at is None else At(contact.answered_at)),
        *_last_error(contact.failed),
    ]
    if lease is not None and lease.expires_at is not None:
        ends = now + lease.expires_at - view.monotonic
        facts.insert(3, ("our token ends", At(ends)))
    if abs(contact.clock_ahead_seconds or 0.0) > MAX_SKEW_SECONDS:
        facts.append(("its clock is ahead by", Span(contact.clock_ahead_seconds or 0.0)))
    return facts


def _login_words(view: VaultView) -> str:
    if view.lease is None:
        return "not logged in"
    if view.login.problem:
        return "the token lives and can't be renewed"
    return "logged in"


def _last_error(failed: FailedCall | None) -> list[tuple[str, Value]]:
    if failed is None:
        return [("last error", "none since the start")]
    words: list[tuple[str, Value]] = [("last error", str(failed.fault)), ("at", At(failed.at))]
    if failed.fault.words:
        words.insert(1, ("in its own words", failed.fault.words))
    return words
