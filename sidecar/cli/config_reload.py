"""``sidecar config reload``: a running sidecar reads its file again; the outcome is waited for."""

import argparse
import json
from http import HTTPStatus
from typing import Any

from sidecar.cli.admin_client import AdminFault, add_admin, admin_address, no_sidecar, request_admin
from sidecar.cli.output import print_aside
from sidecar.common.printable import printable

EXIT_OK, EXIT_FAULT, EXIT_CONFIG = 0, 1, 2
_SECONDS = 180.0
"""Longer than any reload: keys of new issuers are read, and every worker acknowledges."""
_EXITS = {
    "applied": EXIT_OK,
    "restarted": EXIT_OK,
    "unchanged": EXIT_OK,
    "invalid": EXIT_CONFIG,
}
_NOW_IN_FORCE = {
    "applied": "is in force in every process",
    "restarted": "is in force: a sidecar with it has taken over, without a gap",
    "unchanged": "says what is in force already",
    "unacknowledged": "is in force, but not yet in every process",
}


def add_reload(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``config reload``."""
    command = subcommands.add_parser(
        "reload",
        help="have a running sidecar read its file again",
        description="Have a running sidecar read its configuration file again, and wait until it "
        "is in force in every process. Exit 0 if it is, 2 if the file has mistakes, 1 if it "
        "changes what needs a restart or could not be prepared. The old configuration then stays "
        "in force.",
    )
    add_admin(command)
    command.add_argument(
        "--allow-restart",
        action="store_true",
        help="change what no reload can (addresses, workers, the engine, Vault) by an overlapping"
        " restart: no request is denied, and the old one goes on if the new one fails",
    )
    command.add_argument("--json", action="store_true", help="print the outcome, as JSON")
    command.set_defaults(run=_reload)


def _reload(options: argparse.Namespace) -> int:
    address = admin_address(options.admin, options.config)
    body = b'{"allow_restart": true}' if options.allow_restart else b""
    status, document = request_admin(address, "POST", "/config/reload", seconds=_SECONDS, body=body)
    result = document.get("result")
    if not isinstance(result, str) and status == HTTPStatus.NOT_FOUND:
        raise AdminFault(
            f"the sidecar at {address} offers no reload: it has not started yet (see /readyz), "
            "or it is of an older version, which must be restarted"
        )
    if not isinstance(result, str):
        raise no_sidecar(address)
    if options.json:
        print(json.dumps(document, indent=1))
    else:
        _show(document)
    return _EXITS.get(result, EXIT_FAULT)


def _show(document: dict[str, Any]) -> None:
    source = document.get("source")
    for change in document.get("changes", []):
        print(printable(f"{change['setting']}: {change['old']} -> {change['new']}"))
    for problem in document.get("problems", []):
        print_aside(f"{source}: {problem}")
    for warning in document.get("warnings", []):
        print_aside(f"{source}: warning: {warning}")
    digest = str(document.get("sha256"))[:12]
    said = _NOW_IN_FORCE.get(
        document["result"], "was rejected; the configuration before it stays in force"
    )
    line = printable(f"{source} {said} ({document['result']}; in force: {digest})")
    if document["result"] in _NOW_IN_FORCE:
        print(line)
    else:
        print_aside(line)
