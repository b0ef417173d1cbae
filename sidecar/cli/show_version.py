"""``sidecar --version``: the version and the commit, of a wheel or of a checkout."""

import argparse
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from sidecar.common.build import Build, installed_build, running_build

_CHECKOUT = Path(__file__).parents[2]


def current_build() -> Build:
    """Return the build: what the wheel records, else what git says of the checkout now.

    The module that asks git is in no wheel, and whoever removed it gets the installation's version.
    """
    recorded = installed_build()
    if recorded is not None:
        return recorded
    try:
        source = import_module("workload.source_version")
        return Build(*source.source_of(_CHECKOUT, os.environ))
    except (ImportError, ValueError):
        return running_build()


class ShowVersion(argparse.Action):
    """The option: prints and leaves. git is asked only then."""

    def __init__(self, option_strings: Sequence[str], **_settings: Any) -> None:
        super().__init__(
            option_strings, dest=argparse.SUPPRESS, nargs=0, help="show the version and the commit"
        )

    def __call__(self, parser: argparse.ArgumentParser, *_given: Any) -> None:
        """Print ``sidecar VERSION (commit …)`` and exit with 0."""
        print(f"{parser.prog} {current_build()}")
        parser.exit()
