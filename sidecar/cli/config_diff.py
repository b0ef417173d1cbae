"""``sidecar config diff``: what changes for whom between two configurations."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from sidecar.authz.route_differences import route_differences
from sidecar.authz.snapshot import compile_routes
from sidecar.cli.output import add_json, print_json
from sidecar.common.printable import printable
from sidecar.config.difference import Difference, Effect
from sidecar.config.differences import setting_differences
from sidecar.config.differences_csp import csp_differences
from sidecar.config.load import load_config
from sidecar.config.model import Config

EXIT_OK, EXIT_FOUND = 0, 1
_FAILING = {
    "widen": {Effect.WIDENS},
    "narrow": {Effect.NARROWS},
    "any": {Effect.WIDENS, Effect.NARROWS, Effect.OTHER},
    "nothing": set[Effect](),
}


def add_diff(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``diff`` to the commands of ``config``."""
    diff = commands.add_parser(
        "diff",
        help="what changes for whom between two files",
        description="Compare two configuration files by what they mean, not by their text. It says "
        "which requests are let in, or no longer, and for whom; whose tokens are accepted; what "
        "pages may load. Settings that decide no access come last. Where nobody can tell (keys are "
        "read from another place), access counts as widened. Exit 1 if there is a difference that "
        "--fail-on names, 2 if a file has a problem.",
    )
    diff.add_argument("old", type=Path, metavar="OLD")
    diff.add_argument("new", type=Path, metavar="NEW")
    diff.add_argument(
        "--fail-on",
        choices=tuple(_FAILING),
        default="nothing",
        help="which differences make the exit code 1 (default: %(default)s)",
    )
    add_json(diff, "the differences")
    diff.set_defaults(run=_diff)


def _diff(options: argparse.Namespace) -> int:
    found = differences(load_config(options.old), load_config(options.new))
    if options.json:
        print_json(
            [{"effect": each.effect.word, "where": each.where, "text": each.text} for each in found]
        )
    else:
        _show(found)
    failing = _FAILING[options.fail_on]
    return EXIT_FOUND if any(each.effect in failing for each in found) else EXIT_OK


def differences(old: Config, new: Config) -> list[Difference]:
    """Return what differs, what widens access first."""
    found = [
        *route_differences(compile_routes(old), compile_routes(new)),
        *setting_differences(old, new),
        *csp_differences(old, new),
    ]
    return sorted(dict.fromkeys(found), key=lambda each: -each.effect)


def _show(found: Sequence[Difference]) -> None:
    for effect, where, text in found:
        print(printable(f"{effect.word:8} {where}: {text}"))
    if not found:
        print("no difference: both files decide and answer alike")
