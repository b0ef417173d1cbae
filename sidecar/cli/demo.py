"""``sidecar demo``: from a clone, where the demo lies beside this package."""

import argparse
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from sidecar.cli.output import add_json
from sidecar.common.errors import Fault

_ROOT = Path(__file__).parents[2]


class NoDemoFault(Fault):
    """The demo is not here, as beside an installed package, or what it needs is not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``demo``."""
    parser.description = (
        "Start a real Envoy, a real OpenBao, a sample application and the sidecar on "
        "free loopback ports, play a set of requests through them and show what happened. "
        "It runs from a clone of the project; the installed package does not hold it."
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="leave after the table; exit 1 if a row is wrong",
    )
    parser.add_argument(
        "--tls-min",
        choices=("1.2", "1.3"),
        default="1.3",
        help="lowest TLS version at the edge (default: %(default)s)",
    )
    parser.add_argument(
        "--scenario",
        choices=("decision-cache", "rotation", "tenants", "vault-outage"),
        help="play this one instead of the table",
    )
    add_json(
        parser, "the results on standard output, and the tables on standard error; the results"
    )
    parser.set_defaults(run=_run, draws=True)


def _run(options: argparse.Namespace) -> int:
    if not _is_beside_us():
        raise NoDemoFault(
            "the demo is not part of the installed package: "
            "clone the project's repository and run `make demo` there"
        )
    try:
        demo = import_module("demo.main")  # by its name: an installed package must do without it
    except ImportError as exc:
        raise NoDemoFault(f"the demo needs {exc.name}: `make demo` installs it") from exc
    code: int = demo.run_demo(
        demo.DemoOptions(
            once=options.once,
            tls_min=options.tls_min,
            scenario=options.scenario,
            json=options.json,
        )
    )
    return code


def _is_beside_us() -> bool:
    """Tell whether this is a clone, and ``import demo`` gets the demo of it.

    Beside an installed package lie other packages; one of them may be called ``demo``.
    """
    spec = find_spec("demo")
    if spec is None or spec.origin is None or not (_ROOT / "pyproject.toml").is_file():
        return False
    return Path(spec.origin).resolve() == _ROOT.resolve() / "demo" / "__init__.py"
