"""``sidecar demo``: from a clone, where the demo lies beside this package."""

import argparse
from importlib.util import find_spec
from pathlib import Path

from sidecar.common.errors import Fault

_ROOT = Path(__file__).parents[2]


class NoDemoFault(Fault):
    """The demo is not here: this is an installed package, and it is not part of that."""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``demo`` to the commands."""
    demo = commands.add_parser(
        "demo",
        help="see it work: real Envoy, real OpenBao, one minute (from a clone)",
        description="Start a real Envoy, a real OpenBao, a sample application and the sidecar on "
        "free loopback ports, play a set of requests through them and show what happened. "
        "It runs from a clone of the project; the installed package does not hold it.",
    )
    demo.add_argument(
        "--once",
        action="store_true",
        help="leave after the table; exit 1 if a row is not as it must be",
    )
    demo.add_argument(
        "--tls-min",
        choices=("1.2", "1.3"),
        default="1.3",
        help="lowest TLS version at the edge (default: %(default)s)",
    )
    demo.add_argument(
        "--scenario",
        choices=("rotation", "vault-outage"),
        help="play this one instead of the table, with a timeline",
    )
    demo.set_defaults(run=_run, draws=True)


def _run(options: argparse.Namespace) -> int:
    if not _is_beside_us():
        raise NoDemoFault(
            "the demo is not part of the installed package: "
            "clone the project's repository and run `make demo` there"
        )
    from demo.main import DemoOptions, run_demo

    return run_demo(
        DemoOptions(once=options.once, tls_min=options.tls_min, scenario=options.scenario)
    )


def _is_beside_us() -> bool:
    """Tell whether this is a clone, and ``import demo`` gets the demo of it.

    Beside an installed package lie other packages; one of them may be called ``demo``.
    """
    spec = find_spec("demo")
    if spec is None or spec.origin is None or not (_ROOT / "pyproject.toml").is_file():
        return False
    return Path(spec.origin).resolve() == _ROOT.resolve() / "demo" / "__init__.py"
