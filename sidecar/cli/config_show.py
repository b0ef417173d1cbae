"""``sidecar config show``: every setting with the value in force."""

import argparse

from sidecar.cli.arguments import add_settings_file
from sidecar.cli.output import add_json, print_json
from sidecar.config.load import load_located
from sidecar.config.shown import as_document, as_yaml, effective

EXIT_OK = 0


def add_show(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``show`` to the commands of ``config``."""
    show = commands.add_parser(
        "show",
        help="every setting with the value in force",
        description="Print a configuration with every setting, those that the file leaves out "
        "marked as defaults. It is a configuration again, but for URLs that may be secrets "
        "themselves (a webhook's): of these only the origin is shown.",
    )
    add_settings_file(show)
    show.add_argument("--written", action="store_true", help="leave out the defaults")
    add_json(show, "settings by path")
    show.set_defaults(run=_show)


def _show(options: argparse.Namespace) -> int:
    loaded = load_located(options.file)
    settings = [
        each
        for each in effective(loaded.config, loaded.tree.value)
        if not (options.written and each.is_default)
    ]
    if options.json:
        print_json(as_document(settings))
    else:
        print("\n".join(as_yaml(settings)))
    return EXIT_OK
