"""``sidecar vault setup``: makes what a configuration needs in a development server of Vault."""

import argparse
import asyncio
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sidecar.cli.arguments import add_config, add_token_file
from sidecar.cli.output import add_json, print_json
from sidecar.cli.vault_token import operator_token
from sidecar.common.errors import Fault
from sidecar.common.printable import plural, printable
from sidecar.config import model
from sidecar.config.load import load_config
from sidecar.vault_setup.component import SetupChoices, set_up, setup_steps
from sidecar.vault_setup.step import SetupOutcome, SetupResult

EXIT_OK, EXIT_FAULT = 0, 1
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_WRONG = frozenset({SetupOutcome.DIFFERS, SetupOutcome.FAILED})
_TO_DO = frozenset({SetupOutcome.WOULD_MAKE, SetupOutcome.LEFT})
_PASSED_ON = {"certs-revoke": "--with certs-revoke"}


def add_setup(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``setup`` to the commands of ``vault``."""
    setup = commands.add_parser(
        "setup",
        help="make what a configuration needs, on a development server",
        description="Make on a development server of Vault or OpenBao what these settings need: "
        "mounts, a root CA, PKI roles, transit keys, first entries, the policy, and an AppRole. "
        "Its credentials go to the files that vault.auth names, readable by this user alone. "
        "What is there already is never changed or deleted. A server that does not keep "
        "everything in memory is rejected, unless --yes names it. Exit 0 if the sidecar can use "
        "everything, 1 if something differs or failed.",
    )
    add_config(setup)
    add_token_file(setup, "do all this, such as a development server's root token")
    setup.add_argument(
        "--dry-run",
        action="store_true",
        help="make nothing; print each step that is to do as a command of `bao`",
    )
    setup.add_argument(
        "--name",
        default="sidecar",
        metavar="NAME",
        help="the policy's and the AppRole's name (default: %(default)s)",
    )
    setup.add_argument(
        "--with",
        dest="more",
        action="append",
        default=[],
        choices=sorted(_PASSED_ON),
        help="add to the policy what this command needs of the sidecar's login",
    )
    _add_files(setup)
    setup.add_argument(
        "--yes",
        metavar="ADDRESS",
        help="do it on this server, which is none for development: its vault.address",
    )
    add_json(setup, "what became of each step,")
    setup.set_defaults(run=_setup)


def _add_files(setup: argparse.ArgumentParser) -> None:
    setup.add_argument(
        "--signing-keys",
        type=Path,
        metavar="FOLDER",
        help="make a first ES256 key for each token issuer whose entry of keys is missing; its "
        "private key, for a development issuer, goes to issuer-N.pem there",
    )
    setup.add_argument(
        "--credentials",
        type=Path,
        metavar="FOLDER",
        help="with method token_file: write role-id and secret-id there, for a Vault agent",
    )
    setup.add_argument(
        "--replace-credentials",
        action="store_true",
        help="replace the files of credentials if Vault refuses what is in them",
    )


def _setup(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    choices = _choices(options)
    operator = operator_token(options.token_file)
    shows = not options.json
    total = len(setup_steps(config, choices))
    if shows and choices.dry_run:
        for line in environment(config.vault):
            print(printable(line))
    results = asyncio.run(_take_all(config, operator, choices, total if shows else 0))
    counts = Counter(each.outcome for each in results)
    if options.json:
        print_json({"counts": counts, "steps": [each._asdict() for each in results]})
    else:
        print(summary(counts, total))
    return EXIT_FAULT if any(counts[each] for each in _WRONG) else EXIT_OK


def _choices(options: argparse.Namespace) -> SetupChoices:
    if _NAME.fullmatch(options.name) is None:
        raise Fault("--name must be small letters, digits, '_' and '-', 64 of them at most")
    more = [_PASSED_ON[each] for each in dict.fromkeys(options.more)]
    policy = " ".join(("sidecar vault policy --with doctor", *more))
    return SetupChoices(
        printed_by=f"{policy} --config {shlex.quote(str(options.config))}",
        name=options.name,
        revoking="certs-revoke" in options.more,
        signing_keys=options.signing_keys,
        credentials=options.credentials,
        replaces=options.replace_credentials,
        dry_run=options.dry_run,
        confirmed=options.yes,
    )


async def _take_all(
    config: model.Config, operator: model.TokenFileAuth, choices: SetupChoices, total: int
) -> list[SetupResult]:
    """Take all steps; with a ``total`` print each as soon as it is taken."""
    results = []
    async for each in set_up(config, operator, choices):
        results.append(each)
        if total:
            for line in rows(each, len(results), total):
                print(printable(line), flush=True)
    return results


def environment(vault: model.Vault) -> Iterator[str]:
    """Yield what `bao` has to be told of the server; never a token."""
    address = vault.address.replace("unix:", "unix://", 1)
    yield f"export BAO_ADDR={shlex.quote(address)}"
    if vault.ca_file is not None:
        yield f"export BAO_CACERT={shlex.quote(vault.ca_file)}"
    if vault.namespace is not None:
        yield f"export BAO_NAMESPACE={shlex.quote(vault.namespace)}"


def rows(result: SetupResult, at: int, total: int) -> Iterator[str]:
    """Yield the row of one step, and the command below it where there is something to do."""
    width = len(str(total))
    detail = f": {result.detail}" if result.detail else ""
    settings = ", ".join(result.settings)
    yield f"[{at:>{width}}/{total}] {result.outcome:<8} {result.name} ({settings}){detail}"
    if result.outcome in _TO_DO:
        yield f"{'':{2 * width + 3}} {result.command}"


def summary(counts: Counter[SetupOutcome], total: int) -> str:
    """Return the last line."""
    parts = [f"{counts[each]} {each}" for each in SetupOutcome if counts[each]]
    left = total - counts.total()
    if left:
        parts.append(f"{left} not reached")
    return f"{plural(total, 'step')}: {', '.join(parts)}"
