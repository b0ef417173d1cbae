"""The command ``septem``: what a developer or operator of an application types."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from workload.backups import command as backups
from workload.secrets import command as secrets
from workload.tenancy import command as tenancy


class SeptemCommand(NamedTuple):
    """A group of subcommands."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS = {
    "backup": SeptemCommand("archives that only Vault opens", backups.add_arguments, backups.run),
    "secrets": SeptemCommand("secrets where none may be", secrets.add_arguments, secrets.run),
    "tenancy": SeptemCommand("rows of one tenant alone", tenancy.add_arguments, tenancy.run),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; 2 for arguments that are none."""
    parser = argparse.ArgumentParser(
        prog="septem", description="For applications behind the Septem Sidecar."
    )
    groups = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, each in COMMANDS.items():
        each.add_arguments(groups.add_parser(name, help=each.help))
    given = parser.parse_args(arguments)
    return COMMANDS[given.command].run(given)


if __name__ == "__main__":
    sys.exit(main())
