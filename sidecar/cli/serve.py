"""``sidecar serve``: runs the sidecar until SIGTERM."""

import argparse
from pathlib import Path

from sidecar.cli.output import add_json
from sidecar.config.load import load_config
from sidecar.runtime.serve import serve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``serve``."""
    parser.description = "Answer Envoy's Checks and SDS requests until SIGTERM, then drain."
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="settings (YAML)"
    )
    add_json(parser, "every log line is JSON anyway; problems of the settings")
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    return serve(load_config(options.config), options.config)
