"""``sidecar certs renew``: orders certificates, waits for them, and says what came."""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from sidecar.cli.admin_client import AdminFault, admin_address, ask_admin
from sidecar.cli.output import print_json
from sidecar.common.clock import monotonic_seconds
from sidecar.common.printable import printable

EXIT_OK, EXIT_FAILED, EXIT_UNDER_WAY = 0, 1, 3
WAIT_SECONDS = 60.0
_MAX_WAIT_SECONDS = 3600.0
_FIRST_PAUSE_SECONDS, _PAUSE_SECONDS = 0.1, 1.0
_SHOWN = ("name", "outcome", "serial", "not_after", "last_error", "next_order_seconds")
_FORGOTTEN = "the sidecar was restarted before the order had ended; renew it again"


def add_renew(command: argparse.ArgumentParser) -> None:
    """Add the arguments that only ``renew`` has."""
    command.description = (
        "Renew certificates now, each at most once a minute; the current one is served until then. "
        "Wait for them and print what came: exit 0 if all were renewed, 1 if one was not, 3 if an "
        "order is still open. An order that Vault does not answer stays open, and is tried every "
        "10 s."
    )
    command.add_argument(
        "names", nargs="+", metavar="NAME", help="certificates, or names on demand"
    )
    command.add_argument(
        "--wait",
        type=_seconds,
        default=WAIT_SECONDS,
        metavar="SECONDS",
        help="how long to wait for all of them; 0: not at all (default: %(default)g)",
    )
    command.set_defaults(run=run)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _MAX_WAIT_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not from 0 to {_MAX_WAIT_SECONDS:.0f}")
    return seconds


def run(options: argparse.Namespace) -> int:
    """Order, wait, report."""
    address = admin_address(options.admin, options.config)
    names = tuple(dict.fromkeys(options.names))
    ordered = {name: _ask(address, "POST", "renew", name) for name in names}
    rows = dict(ordered)
    until = monotonic_seconds() + options.wait
    pause = _FIRST_PAUSE_SECONDS
    while under_way := [name for name in names if "outcome" not in rows[name]]:
        for name in under_way:
            rows[name] = _look(address, ordered[name], name)
        left = until - monotonic_seconds()
        if left <= 0:
            break
        time.sleep(min(pause, left))
        pause = min(_PAUSE_SECONDS, pause * 1.5)
    found = [{"outcome": "under_way", **rows[name]} for name in names]
    _show(found, as_json=options.json)
    outcomes = {row["outcome"] for row in found}
    if "failed" in outcomes:
        return EXIT_FAILED
    return EXIT_UNDER_WAY if "under_way" in outcomes else EXIT_OK


def _look(address: str, before: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the row as it is now, with its outcome if the order has ended."""
    row = _ask(address, "GET", "show", name)
    row.pop("chain_pem", None)
    if "outcome" not in row and (outcome := outcome_of(before, row)):
        row["outcome"] = outcome
        if outcome == "failed" and not row.get("failures"):
            row["last_error"] = _FORGOTTEN
    return row


def outcome_of(before: dict[str, Any], row: dict[str, Any]) -> str:
    """Return what came of an order; nothing while it is open."""
    if row["serial"] and row["serial"] != before["serial"]:
        return "renewed"
    if row.get("asked"):
        return ""
    if row["orders"] > before["orders"]:
        return "failed" if row["failures"] else "unchanged"
    # A sidecar that was restarted counts from 0 again, and knows nothing of the order.
    return "failed" if before.get("asked") or row["orders"] < before["orders"] else ""


def _ask(address: str, method: str, act: str, name: str) -> dict[str, Any]:
    """Ask for one certificate; what is refused is a row too, beside those of the others."""
    try:
        return ask_admin(address, method, f"/certificates/{act}", name=name)
    except AdminFault as fault:
        return {"name": name, "outcome": "failed", "last_error": str(fault)}


def _show(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json({"certificates": [{key: row.get(key) for key in _SHOWN} for row in rows]})
        return
    for row in rows:
        failed = row["outcome"] == "failed"
        words = printable(f"{row['name']}: {_words(row)}")
        print(words, file=sys.stderr if failed else sys.stdout)


def _words(row: dict[str, Any]) -> str:
    held = f"serial {row['serial']}, ends {row['not_after']}" if row.get("serial") else ""
    match row["outcome"]:
        case "renewed":
            return f"renewed, {held}"
        case "unchanged":
            return f"the issuer gave what was served already, {held}"
        case "under_way" if row.get("failures"):
            return f"not renewed yet: {_why(row)}; served is still {held or 'nothing'}"
        case "under_way":
            return f"the order is still under way; served is {held or 'nothing'}"
        case _:
            kept = f"; served is still {held}" if held else ""
            return f"not renewed: {_why(row)}{kept}"


def _why(row: dict[str, Any]) -> str:
    """Return why it is not renewed, and when it is tried again by itself if that is known."""
    if not row.get("failures"):
        return str(row.get("last_error"))
    seconds = row.get("next_order_seconds")
    again = {None: "", 0: "; it is tried again now"}.get(seconds, f"; tried again in {seconds} s")
    return f"{row.get('last_error')}{again}"
