"""A customer's own domain, before the user's eyes: registered, first visit, second, a stranger's.

Each row is one TLS handshake with Envoy, and judged by it, by what Vault's PKI was asked to
sign, and by what a second visitor is served.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from demo.cases import EVIL, TENANT, TENANT_DOMAIN
from demo.handshake import Handshake, Handshaker
from demo.process import fetch_text
from demo.stack import Stack

STRANGER = "not-registered.example"
REGISTERED_LATER = "late.example"
_LONGEST_REFUSAL_MS = 2000.0
_REGISTRY_SECONDS = 5.0
_SIGNED = 'septem_vault_calls_total{operation="pki_sign",outcome="ok"} '


class Visit(NamedTuple):
    """One row: a handshake, how often Vault signed for it, and what is wrong."""

    what: str
    name: str
    handshake: Handshake
    signed: int
    problems: tuple[str, ...]


def play_own_domain(stack: Stack) -> list[Visit]:
    """Register a domain and shake hands with it, and with others that are not registered."""
    hands = Handshaker(stack.ports.https, stack.ca_pem)
    stack.register({TENANT_DOMAIN: TENANT})
    _wait_for(lambda: _number(stack, "septem_domain_registry_entries ") == 1)
    first = _visit(stack, hands, "first visit", TENANT_DOMAIN, signed=1)
    second = _visit(stack, hands, "second visit", TENANT_DOMAIN, like=first)
    shouted = _visit(stack, hands, "the same, shouted", TENANT_DOMAIN.upper(), like=first)
    stranger = _visit(stack, hands, "not registered", STRANGER, refused=True)
    too_soon = _visit(stack, hands, "not registered yet", REGISTERED_LATER, refused=True)
    both = {TENANT_DOMAIN: TENANT, REGISTERED_LATER: EVIL}
    stack.register(both)
    _wait_for(lambda: _number(stack, "septem_domain_registry_entries ") == len(both))
    later = _visit(stack, hands, "registered a moment later", REGISTERED_LATER, signed=1)
    return [first, second, shouted, stranger, too_soon, later]


def show_own_domain(visits: Sequence[Visit], console: Console) -> bool:
    """Print the table; return whether every row is right."""
    table = Table(title="A customer's own domain", title_justify="left", header_style="bold")
    for heading in ("handshake", "name", "certificate", "signed by Vault for it"):
        table.add_column(heading)
    table.add_column("ms", justify="right")
    table.add_column("")
    for visit in visits:
        shown = visit.handshake
        table.add_row(
            visit.what,
            escape(visit.name),
            f"{', '.join(shown.names)} …{shown.serial[-6:]}" if shown.done else "none: denied",
            "now" if visit.signed else "[dim]not asked[/]",
            f"{shown.milliseconds:.1f}",
            "[red]WRONG[/]" if visit.problems else "[green]ok[/]",
        )
    console.print(table)
    for visit in visits:
        if visit.problems:
            console.print(f"[red]{escape(visit.what)}[/]: {escape('; '.join(visit.problems))}")
    return not any(visit.problems for visit in visits)


def judge(
    handshake: Handshake,
    name: str,
    signed: int,
    *,
    expected: int = 0,
    like: Visit | None = None,
    refused: bool = False,
) -> tuple[str, ...]:
    """Hold a handshake against what must be; returns what differs."""
    found = []
    if refused and handshake.done:
        found.append("it was served")
    if refused and handshake.milliseconds > _LONGEST_REFUSAL_MS:
        found.append("the denial took its time")
    if not refused and not handshake.done:
        found.append(f"it failed: {handshake.failure}")
    if not refused and handshake.done and handshake.names != (name.lower(),):
        found.append(f"the certificate is for {', '.join(handshake.names)}")
    if like is not None and handshake.serial != like.handshake.serial:
        found.append("it is another certificate than the first visitor's")
    if signed != expected:
        found.append(f"Vault signed {signed} certificates for it, not {expected}")
    return tuple(found)


def _visit(
    stack: Stack,
    hands: Handshaker,
    what: str,
    name: str,
    *,
    signed: int = 0,
    like: Visit | None = None,
    refused: bool = False,
) -> Visit:
    before = _number(stack, _SIGNED)
    handshake = hands.shake(name)
    asked = int(_number(stack, _SIGNED) - before)
    problems = judge(handshake, name, asked, expected=signed, like=like, refused=refused)
    return Visit(what, name, handshake, asked, problems)


def _number(stack: Stack, beginning: str) -> float:
    lines = fetch_text(stack.admin_port, "/metrics").splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(beginning)), 0.0)


def _wait_for(condition: Callable[[], bool]) -> None:
    """Give the sidecar the time to read its registry; a row that comes too early is wrong."""
    deadline = time.monotonic() + _REGISTRY_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
