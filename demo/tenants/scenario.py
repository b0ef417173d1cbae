"""The scenario ``tenants``: the table of attacks on the example application, before one's eyes."""

from collections.abc import Sequence
from contextlib import ExitStack

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from demo.stack import Stack
from demo.tenants.attacks import ATTACKS
from demo.tenants.playing import AttackRow, play_attacks
from demo.tenants.world import TenantsWorld, tenants_world
from workload.tenancy.check.findings import Finding


def tenants(stack: Stack, console: Console) -> bool:
    """Play every attack and show what came of it; whether none succeeded, and each could have."""
    console.print(
        "The application of examples/tenants, with an SQL injection. The attacker has a token of "
        "the tenant acme; globex is the other tenant. The control is the same application with "
        "the protection off: the policies and their role, the guards, the edge.\n"
    )
    with ExitStack() as exits:
        with console.status("starting PostgreSQL, the application and the control …"):
            world = exits.enter_context(tenants_world(stack))
        rows = _play(world, console)
        return show_attacks(rows, world.findings, console)


def _play(world: TenantsWorld, console: Console) -> list[AttackRow]:
    rows: list[AttackRow] = []
    columns = (TextColumn("{task.description:46}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("playing", total=len(ATTACKS))
        for row in play_attacks(world.protected, world.control):
            rows.append(row)
            progress.update(task, description=row.attack.name, advance=1)
    return rows


def show_attacks(rows: Sequence[AttackRow], findings: Sequence[Finding], console: Console) -> bool:
    """Print the table; return whether every row is right."""
    table = Table(title="One tenant's token, any SQL", title_justify="left", header_style="bold")
    for heading in ("attack", "what came back", "what the control gives"):
        table.add_column(heading)
    table.add_column("")
    for row in rows:
        table.add_row(
            escape(row.attack.name),
            escape(row.protected.gain or row.protected.came_back),
            escape(row.control.gain or row.control.came_back),
            "[red]WRONG[/]" if row.problems else "[green]ok[/]",
        )
    console.print(table)
    holes = [each for each in findings if each.severity == "hole"]
    for row in rows:
        if row.problems:
            console.print(f"[red]{escape(row.attack.name)}[/]: {escape('; '.join(row.problems))}")
    for hole in holes:
        console.print(f"[red]septem tenancy check[/]: {escape(f'{hole.name}: {hole.detail}')}")
    wrong = sum(bool(row.problems) for row in rows)
    if not wrong and not holes:
        console.print(
            f"{len(rows)} of {len(rows)} attacks give nothing, and each of them succeeds against "
            "the control. septem tenancy check finds no hole."
        )
    return not wrong and not holes
