"""``sidecar certs``: the certificates of a running sidecar, through its admin port."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from sidecar.cli.admin_client import add_admin, admin_address, ask_admin, no_sidecar
from sidecar.cli.certs_drill import add_drill
from sidecar.cli.certs_renew import add_renew
from sidecar.common.printable import printable, printable_lines

EXIT_OK = 0
_LISTED = ("name", "issuer", "state", "days_left", "not_after", "serial", "served", "last_error")
_PINNED = ("name", "spki_sha256", "names")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``certs``."""
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, run, words in (
        ("list", _list, "every certificate: issuer, state, end, serial, last error"),
        ("show", _show, "one certificate, with its chain"),
        ("renew", _show, "renew some now, wait for them, print the new serials"),
        (
            "revoke",
            _revoke,
            "revoke one with Vault PKI: it is served no more, and renewed at once",
        ),
        ("pins", _pins, "SHA-256 of the public keys held (RFC 7469), for pinning"),
    ):
        command = subcommands.add_parser(
            name, help=words, description=f"{words[:1].upper()}{words[1:]}."
        )
        if name in {"show", "revoke"}:
            command.add_argument("name", metavar="NAME")
        add_admin(command)
        command.add_argument("--json", action="store_true", help="print everything, as JSON")
        command.set_defaults(run=run)
        if name == "renew":
            add_renew(command)
    add_drill(subcommands)


def _list(options: argparse.Namespace) -> int:
    _show_rows(options, _rows(options), _LISTED)
    return EXIT_OK


def _pins(options: argparse.Namespace) -> int:
    rows = _rows(options)
    held = [{key: row.get(key) for key in _PINNED} for row in rows if row.get("spki_sha256")]
    _show_rows(options, held, _PINNED)
    return EXIT_OK


def _rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return every certificate; raise ``AdminFault`` for an answer of another form."""
    address = _admin(options)
    rows = ask_admin(address, "GET", "/certificates").get("certificates")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise no_sidecar(address)
    return rows


def _show(options: argparse.Namespace) -> int:
    return _one(options, "GET", "show")


def _revoke(options: argparse.Namespace) -> int:
    return _one(options, "POST", "revoke")


def _one(options: argparse.Namespace, method: str, act: str) -> int:
    row = ask_admin(_admin(options), method, f"/certificates/{act}", name=options.name)
    if options.json:
        print(json.dumps(row, indent=1))
        return EXIT_OK
    chain = row.pop("chain_pem", "")
    titles = [printable(key.replace("_", " ")) for key in row]
    width = max(map(len, titles), default=0)
    for title, value in zip(titles, row.values(), strict=True):
        print(f"{title:<{width}}  {_text(value)}")
    if isinstance(chain, str) and chain:
        print(printable_lines(chain), end="")
    return EXIT_OK


def _admin(options: argparse.Namespace) -> str:
    return admin_address(options.admin, options.config)


def _show_rows(
    options: argparse.Namespace, rows: Sequence[dict[str, Any]], columns: Sequence[str]
) -> None:
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    titles = [column.replace("_", " ") for column in columns]
    cells = [[_text(row.get(column)) for column in columns] for row in rows]
    _show_plainly(titles, cells)


def _show_plainly(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[at]) for line in (titles, *cells)) for at in range(len(titles))]
    for line in (titles, *cells):
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())


def _text(value: Any) -> str:
    """Return a value as printable text in one line: names come from certificates."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return printable(value)
