"""What the demo shows: a progress line, the table, where to go on by hand."""

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from demo.cases import (
    API,
    AUDIENCE,
    ISSUER,
    TENANT,
    Case,
    Minter,
    Row,
    build_cases,
    judge,
    play,
    tenants_seen,
)
from demo.client import Reply
from demo.own_domain import Visit
from demo.stack import Stack
from sidecar.common.clock import wall_seconds
from sidecar.tokens.mint import mint_token

_AUDIT_SECONDS = 5.0
_POLL_SECONDS = 0.05


def play_all(stack: Stack, console: Console) -> list[Row]:
    """Play every case through Envoy, then judge each by its reply and its audit line."""
    cases = build_cases(Minter(stack.key, wall_seconds()), stack.publisher)
    client = stack.client
    replies: list[tuple[Case, Reply]] = []
    columns = (TextColumn("{task.description:30}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("playing", total=len(cases))
        for case in cases:
            progress.update(task, description=case.name)
            replies.append((case, play(client, case)))
            progress.advance(task)
    audited = iter(_audited_reasons(stack, sum(bool(case.reason) for case in cases)))
    return [judge(case, reply, next(audited, "") if case.reason else "") for case, reply in replies]


def show_table(rows: Sequence[Row], console: Console) -> bool:
    """Print the table; return whether every row is right."""
    table = Table(title="Through Envoy, over TLS", title_justify="left", header_style="bold")
    for heading in ("case", "status", "reason", "the application saw"):
        table.add_column(heading)
    table.add_column("ms", justify="right")
    table.add_column("")
    for row in rows:
        table.add_row(
            escape(row.case.name),
            str(row.reply.status),
            row.audited or "[dim]answered by Envoy[/]",
            _seen(row.reply),
            f"{row.reply.milliseconds:.1f}",
            "[red]WRONG[/]" if row.problems else "[green]ok[/]",
        )
    console.print(table)
    wrong = [row for row in rows if row.problems]
    for row in wrong:
        console.print(f"[red]{escape(row.case.name)}[/]: {escape('; '.join(row.problems))}")
    if not wrong:
        console.print(
            f"{len(rows)} of {len(rows)} rows are right; every HTTPS reply has HSTS, a "
            "Content-Security-Policy and the other security headers."
        )
    return not wrong


def as_document(rows: Sequence[Row], visits: Sequence[Visit]) -> dict[str, Any]:
    """Return both tables as a JSON document."""
    return {
        "rows": [
            {
                "case": row.case.name,
                "status": row.reply.status,
                "reason": row.audited or None,
                "milliseconds": round(row.reply.milliseconds, 1),
                "problems": list(row.problems),
            }
            for row in rows
        ],
        "handshakes": [
            {
                "what": visit.what,
                "name": visit.name,
                "served": visit.handshake.done,
                "milliseconds": round(visit.handshake.milliseconds, 1),
                "problems": list(visit.problems),
            }
            for visit in visits
        ],
    }


def reader_token(stack: Stack) -> str:
    """Return the token of the line that a reader pastes."""
    return mint_token(
        stack.key,
        now=wall_seconds(),
        kid=None,
        issuer=ISSUER,
        audiences=[AUDIENCE],
        tenant_id=TENANT,
        subject="alice",
        roles=["admin"],
    )


def show_addresses(stack: Stack, console: Console) -> None:
    """Print where everything is, and a curl line to paste."""
    token = reader_token(stack)
    edge = f"https://localhost:{stack.ports.https}"
    table = Table.grid(padding=(0, 2))
    table.add_row("shell", f"[bold]{stack.shell_url}[/]  open this in a browser")
    table.add_row("edge", edge)
    table.add_row("plain HTTP", f"http://localhost:{stack.ports.http} (redirects)")
    table.add_row("metrics", f"http://127.0.0.1:{stack.admin_port}/metrics  /readyz  /livez")
    table.add_row("Envoy's admin", f"http://127.0.0.1:{stack.ports.admin}")
    table.add_row("OpenBao", f"{stack.openbao.address} (dev mode, in memory)")
    table.add_row("audit log", str(stack.folder / "audit.jsonl"))
    table.add_row("configuration", str(stack.folder / "sidecar.yaml"))
    console.print(table)
    console.print(
        "\nThe shell attacks itself before your eyes, and each attack says what stopped it. The "
        f"certificates are of the demo's own CA, {stack.folder / 'ca.pem'}: have the browser trust "
        "it, or click through its warning. Firefox asks for each port: open "
        f"{stack.targets.cdn} too, or the module does not load.",
        soft_wrap=True,
    )
    console.print("\nTry it (the token is good for 15 minutes):\n")
    console.print(
        f"curl -i --cacert {stack.folder / 'ca.pem'} -H 'Authorization: Bearer {token}' "
        f"-H 'x-tenant-id: spoofed' {edge}{API}",
        soft_wrap=True,
        markup=False,
    )
    console.print("\nCtrl-C ends it; nothing is left behind.")


def _seen(reply: Reply) -> str:
    seen = tenants_seen(reply)
    if seen is None:
        return "[dim]not reached[/]"
    return "no tenant" if not seen else f"tenant {', '.join(each[:8] + '…' for each in seen)}"


def _audited_reasons(stack: Stack, expected: int) -> list[str]:
    """Wait for the audit log to hold the cases' lines and return their reasons in order."""
    deadline = time.monotonic() + _AUDIT_SECONDS
    while len(lines := stack.audited()) < expected and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return [str(line["reason"]) for line in lines]
