"""``sidecar doctor``: looks at an installation from the sidecar's side."""

import argparse
import asyncio
import re

from sidecar.cli.arguments import add_config
from sidecar.cli.output import add_json, print_json
from sidecar.common.errors import Fault
from sidecar.common.printable import printable
from sidecar.config.load import load_config
from sidecar.config.model import Config
from sidecar.doctor.component import examine
from sidecar.doctor.diagnosis import CheckOutcome, Diagnosis

EXIT_OK, EXIT_FOUND = 0, 1
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``doctor``."""
    parser.description = (
        "Look at an installation from the sidecar's side. Looked at are Vault, the login, what it "
        "may do at each path, keys and entries, PKI roles, clocks, addresses, Redis and receivers "
        "of audit lines. Run it as the sidecar's user. It changes nothing, logs in once, and shows "
        "no secret. Exit 0 if nothing failed, 1 if something did, 2 if the configuration is wrong."
    )
    add_config(parser)
    parser.add_argument(
        "--envoy-admin",
        metavar="ADDRESS",
        help="ask this Envoy too: host:port of its admin port",
    )
    add_json(parser, "what was found of each thing,")
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    if options.envoy_admin is not None and not _ADDRESS.fullmatch(options.envoy_admin):
        raise Fault(f"--envoy-admin {options.envoy_admin!r} must be host:port")
    found = asyncio.run(_examine(config, options.envoy_admin, shows=not options.json))
    failed = sum(each.outcome is CheckOutcome.FAILED for each in found)
    if options.json:
        print_json({"failed": failed, "checks": [each._asdict() for each in found]})
    else:
        skipped = sum(each.outcome is CheckOutcome.SKIPPED for each in found)
        print(f"{len(found)} checks: {failed} failed, {skipped} skipped")
    return EXIT_FOUND if failed else EXIT_OK


async def _examine(config: Config, envoy_admin: str | None, *, shows: bool) -> list[Diagnosis]:
    found = []
    async for each in examine(config, envoy_admin):
        found.append(each)
        if shows:
            print(printable(f"{each.outcome:<8} {each.name}: {each.detail}"), flush=True)
            if each.next_step:
                print(printable(f"{'':8} -> {each.next_step}"), flush=True)
    return found
