"""``sidecar certs drill``: orders every certificate without serving any, and says what came."""

import argparse
import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sidecar.certificates.drill.component import DrillOptions, run_drill
from sidecar.certificates.drill.drill import FAILED, OK, DrillResult
from sidecar.certificates.drill.plan import Acme
from sidecar.cli.arguments import add_config
from sidecar.cli.output import add_json, print_aside, print_json
from sidecar.common.errors import Fault
from sidecar.common.printable import printable
from sidecar.config.base import VaultPath
from sidecar.config.convert import convert
from sidecar.config.load import load_config
from sidecar.config.problem import Problem

EXIT_OK, EXIT_FAILED, EXIT_NOTHING = 0, 1, 3
MAX_DRAWN = 1000
_MAX_SECONDS = 3600.0
_TITLES = ("name", "issuer", "outcome", "serial", "ends", "seconds", "Envoy", "detail")


def add_drill(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``drill`` to the commands of ``certs``."""
    drill = subcommands.add_parser(
        "drill",
        help="rehearse every renewal: order, check, ask Envoy; nothing is served",
        description="Order every configured certificate from each of its issuers (a fallback too), "
        "check what comes by the rules for serving, ask a real Envoy, and print a table. Nothing "
        "of it is served or shared with the fleet. It is a process of its own with its own login "
        "to Vault. Exit 0 if nothing failed, 1 if something did, 3 if nothing was ordered.",
    )
    drill.add_argument("names", nargs="*", metavar="NAME", help="only these; hosts on demand too")
    add_config(drill)
    drill.add_argument(
        "--limit",
        type=_count,
        default=0,
        metavar="N",
        help="names on demand that are drawn from the registry by lot (default: none)",
    )
    acme = drill.add_mutually_exclusive_group()
    acme.add_argument(
        "--acme",
        action="store_true",
        help="order from ACME CAs too: it counts against their limits; at most every six hours",
    )
    acme.add_argument("--acme-directory", metavar="URL", help="order from this staging CA instead")
    envoy = drill.add_mutually_exclusive_group()
    envoy.add_argument(
        "--envoy", metavar="PROGRAM", help="the Envoy that is asked (default: envoy, if found)"
    )
    envoy.add_argument("--no-envoy", action="store_true", help="ask no Envoy")
    drill.add_argument(
        "--stored-keys",
        action="store_true",
        help="show Envoy certificates of vault_kv too: their keys are those that are served, and "
        "are then in a file of mode 0600 for a moment",
    )
    drill.add_argument(
        "--store", metavar="MOUNT/PATH", help="keep what came in Vault KV (default: in memory)"
    )
    drill.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS",
        help="of one order (default: certificate_store.order_seconds)",
    )  # fmt: skip
    add_json(drill, "the results")
    drill.set_defaults(run=_drill)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_DRAWN:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {MAX_DRAWN}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not more than 0 and up to 3600")
    return seconds


def _drill(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    asked = options_of(options)
    results = asyncio.run(run_drill(config, asked))
    if options.json:
        print_json({"envoy": asked.envoy or None, "results": [_row(each) for each in results]})
    else:
        _show(results, asked)
    outcomes = [each.outcome for each in results]
    if FAILED in outcomes:
        return EXIT_FAILED
    return EXIT_OK if OK in outcomes else EXIT_NOTHING


def options_of(options: argparse.Namespace) -> DrillOptions:
    """Return what was asked for. Raises ``Fault``."""
    acme = Acme.ORDER if options.acme else Acme.SKIP
    return DrillOptions(
        names=tuple(dict.fromkeys(options.names)),
        limit=options.limit,
        acme=Acme.STAGING if options.acme_directory else acme,
        directory=options.acme_directory or "",
        envoy="" if options.no_envoy else _envoy(options.envoy),
        stored_keys=options.stored_keys,
        store=None if options.store is None else _store(options.store),
        order_seconds=options.timeout,
    )


def _envoy(given: str | None) -> str:
    """Return the path of Envoy's program; empty if there is none and none was asked for."""
    found = shutil.which(given or "envoy")
    if found is None and given is not None:
        raise Fault(f"--envoy {given!r} is no program that can be run")
    return found or ""


def _store(text: str) -> tuple[str, str]:
    mount, _, path = text.partition("/")
    found: list[Problem] = []
    for part in (mount, path):
        convert(part, VaultPath, found)
    if found:
        raise Fault(f"--store {text!r} must be a mount and a path in it: {found[0].message}")
    return mount, path


def _row(result: DrillResult) -> dict[str, Any]:
    ends = None if result.not_after is None else _time(result.not_after)
    return {**asdict(result), "not_after": ends, "seconds": round(result.seconds, 3)}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _show(results: Sequence[DrillResult], asked: DrillOptions) -> None:
    cells = [
        tuple(
            printable(str(cell))
            for cell in (
                each.name,
                each.issuer,
                each.outcome,
                each.serial or "-",
                "-" if each.not_after is None else _time(each.not_after),
                f"{each.seconds:.1f}",
                each.envoy or "not asked",
                each.detail or "-",
            )
        )
        for each in results
    ]
    widths = [max(map(len, column)) for column in zip(_TITLES, *cells, strict=True)]
    for line in (_TITLES, *cells):
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())
    counted = {kind: sum(each.outcome == kind for each in results) for kind in (OK, FAILED)}
    skipped = len(results) - sum(counted.values())
    print(f"{counted[OK]} would be served, {counted[FAILED]} failed, {skipped} not ordered")
    if not asked.envoy:
        print_aside("no Envoy was asked: --envoy PROGRAM names one")
