"""``sidecar serve``: runs the sidecar until SIGTERM."""

import argparse

from sidecar.cli.arguments import add_config
from sidecar.cli.output import add_json
from sidecar.config.load import load_config
from sidecar.runtime.serve import serve
from sidecar.runtime.signals import take_signals


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``serve``."""
    parser.description = "Answer Envoy's Checks and SDS requests until SIGTERM, then drain."
    add_config(parser)
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="replace a sidecar that runs on the same Unix sockets: it keeps its calls in flight,"
        " and is stopped when this one is ready",
    )
    add_json(parser, "every log line is JSON anyway; problems of the settings")
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    signals = options.signals or take_signals()
    config = load_config(options.config)
    return serve(config, options.config, signals, take_over=options.take_over)
