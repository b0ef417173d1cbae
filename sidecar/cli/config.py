"""``sidecar config``: checks, compares and shows the settings, and makes the first ones."""

import argparse
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from sidecar.authz.notes import notes
from sidecar.authz.snapshot import compile_routes
from sidecar.authz.warnings import warnings_of
from sidecar.cli.arguments import add_settings_file
from sidecar.cli.config_diff import add_diff
from sidecar.cli.config_envoy import add_envoy
from sidecar.cli.config_init import add_init
from sidecar.cli.config_reload import add_reload
from sidecar.cli.config_show import add_show
from sidecar.cli.output import add_json, print_aside, print_json
from sidecar.common.errors import ConfigFault
from sidecar.common.printable import plural, printable
from sidecar.config.load import Loaded, load_located
from sidecar.config.model import Config
from sidecar.config.problem import LocatedProblem

EXIT_OK, EXIT_PROBLEM = 0, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``config``."""
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = subcommands.add_parser(
        "check",
        help="find every problem in a file",
        description="Check a configuration file and name every problem in it, each with its line "
        "and path. Warnings are for what hardly anybody means: a route that no request reaches, "
        "a path that looks like a pattern, Checks in the clear. Notes say what Envoy and the "
        "application must be configured for. Exit 0 if there is no problem, 2 otherwise.",
    )
    add_settings_file(check)
    check.add_argument("--strict", action="store_true", help="exit 2 for a warning too")
    add_json(check, "problems, warnings and notes")
    check.set_defaults(run=_check)
    add_envoy(subcommands)
    add_reload(subcommands)
    add_show(subcommands)
    add_diff(subcommands)
    add_init(subcommands)
    schema = subcommands.add_parser(
        "schema",
        help="the JSON Schema of the file, for editors",
        description="Print the JSON Schema (2020-12) of a configuration file: every setting with "
        "its type, bounds, default and what it is for. An editor with a YAML language server "
        "takes it from a first line `# yaml-language-server: $schema=FILE`.",
    )
    add_json(schema, "the schema (always)")
    schema.set_defaults(run=_schema)


def _check(options: argparse.Namespace) -> int:
    try:
        loaded = load_located(options.file)
    except ConfigFault as fault:
        if not options.json:
            raise
        print_json(_document(options.file, fault.problems, (), ()))
        return EXIT_PROBLEM
    warnings, advice = warnings_of(loaded), notes_of(loaded)
    if options.json:
        print_json(_document(options.file, (), warnings, advice))
    else:
        _show(options.file, loaded.config, warnings, advice)
    return EXIT_PROBLEM if warnings and options.strict else EXIT_OK


def _schema(_options: argparse.Namespace) -> int:
    print(files("sidecar.config").joinpath("schema.json").read_text("utf-8"), end="")
    return EXIT_OK


def notes_of(loaded: Loaded) -> list[LocatedProblem]:
    """Return what Envoy and the application must be configured for."""
    return [
        loaded.tree.locate(each) for each in notes(loaded.config, compile_routes(loaded.config))
    ]


def _show(
    file: Path, config: Config, warnings: Iterable[LocatedProblem], advice: Iterable[LocatedProblem]
) -> None:
    for kind, found in (("warning", warnings), ("note", advice)):
        for each in found:
            print(printable(f"{file}: {kind}: {each}"))
    print(
        printable(
            f"{file}: good ({plural(len(config.routes), 'route')}, "
            f"{plural(len(config.tokens.issuers), 'issuer')}, "
            f"{plural(len(config.certificates), 'certificate')}, "
            f"{plural(len(config.tenants), 'tenant')})"
        )
    )
    kept = config.headers.keep_overrides or any(route.keep_overrides for route in config.routes)
    if config.headers.remove_from_request or kept:
        print_aside(
            "headers.remove_from_request and keep_overrides need settings in Envoy too: "
            f"`sidecar config envoy {file}` prints its lines, and with --check ENVOY.yaml "
            "checks your Envoy configuration against them"
        )


def _document(
    file: Path, problems: Sequence[str], warnings: Sequence[str], advice: Sequence[str]
) -> dict[str, Any]:
    return {
        "file": str(file),
        "good": not problems,
        "problems": [_parts(each) for each in problems],
        "warnings": [_parts(each) for each in warnings],
        "notes": [_parts(each) for each in advice],
    }


def _parts(problem: str) -> dict[str, Any]:
    if isinstance(problem, LocatedProblem):
        return {"line": problem.line, "path": problem.path, "message": problem.message}
    return {"line": None, "path": "(the file)", "message": problem}
