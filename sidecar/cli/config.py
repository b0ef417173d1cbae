"""``sidecar config``: checks the settings, and says what Envoy needs with them."""

import argparse
from pathlib import Path

from sidecar.authz.notes import notes
from sidecar.authz.snapshot import compile_routes
from sidecar.cli.config_reload import add_reload
from sidecar.cli.envoy import add_envoy
from sidecar.config.load import load_config
from sidecar.config.problem import show_path

EXIT_OK = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``config``."""
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = subcommands.add_parser(
        "check",
        help="find every problem in a file",
        description="Check a configuration file and name every problem in it, each with its line "
        "and path; then, as notes, what Envoy and the application must be configured for. Exit 0 "
        "if there is no problem, 2 otherwise.",
    )
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(run=_check)
    add_envoy(subcommands)
    add_reload(subcommands)


def _check(options: argparse.Namespace) -> int:
    config = load_config(options.file)
    for note in notes(compile_routes(config)):
        print(f"{options.file}: note: {show_path(note.path)}: {note.message}")
    print(
        f"{options.file}: good ({len(config.routes)} routes, {len(config.tokens.issuers)} issuers, "
        f"{len(config.certificates)} certificates, {len(config.tenants)} tenants)"
    )
    kept = config.headers.keep_overrides or any(route.keep_overrides for route in config.routes)
    if config.headers.remove_from_request or kept:
        print(
            "headers.remove_from_request and keep_overrides need settings in Envoy too: "
            f"`sidecar config envoy {options.file}` prints its lines, and with --check ENVOY.yaml "
            "checks your Envoy configuration against them"
        )
    return EXIT_OK
