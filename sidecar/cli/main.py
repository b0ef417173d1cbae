"""The command line: arguments in, an exit code out, never a traceback.

Exit codes: 0 it worked; 1 it did not (the message says why); 2 the command or the
configuration is wrong.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import TextIO, cast

from sidecar.cli.script import chosen_command
from sidecar.common.errors import ConfigFault, Fault
from sidecar.common.printable import PrintableStream, printable, printable_lines
from sidecar.runtime.signals import SignalThread

EXIT_FAULT = 1
EXIT_CONFIG = 2
EXIT_INTERRUPTED = 130
COMMANDS: Mapping[str, str] = {
    "serve": "answer Envoy",
    "demo": "see it work: real Envoy, real OpenBao, one minute (from a clone)",
    "config": "work with the configuration",
    "token": "verify tokens, or mint them for development",
    "revoke": "revoke tokens, subjects, tenants or keys, and wait until that is in force",
    "check": "evaluate requests offline, or test a policy",
    "explain": "find a decision in the audit log",
    "module": "sign and verify bundles of modules",
    "csp": "lint policies, and learn from violation reports",
    "certs": "the certificates of a running sidecar",
}
"""Every command, and what it is for. Its module of this package is imported when it is chosen:
``serve`` holds in memory what serving needs, and ``--help`` imports no component."""


def main(arguments: Sequence[str] | None = None, *, signals: SignalThread | None = None) -> int:
    """Run one command and return its exit code.

    ``signals`` are those of this process, if they are taken already (``sidecar.cli.script``).
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    known = argparse.Namespace(signals=signals)
    try:
        # It imports the command, which takes a moment.
        options = build_parser(chosen_command(given)).parse_args(given, known)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    # The demo draws on the terminal itself.
    with contextlib.nullcontext() if options.draws else _printable_output():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        code: int = options.run(options)
    except ConfigFault as fault:
        _show_config_fault(fault)
        return EXIT_CONFIG
    except Fault as fault:
        show = printable_lines if options.draws else printable
        print(f"sidecar: {show(str(fault))}", file=sys.stderr)
        return EXIT_FAULT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has closed the pipe.
        sys.stderr.close()
        return EXIT_FAULT
    return code


@contextlib.contextmanager
def _printable_output() -> Iterator[None]:
    """Replace standard output and error by printable streams while a terminal is attached."""
    with contextlib.ExitStack() as stack:
        if sys.stdout.isatty():
            out = cast("TextIO", PrintableStream(sys.stdout))
            stack.enter_context(contextlib.redirect_stdout(out))
        if sys.stderr.isatty():
            err = cast("TextIO", PrintableStream(sys.stderr))
            stack.enter_context(contextlib.redirect_stderr(err))
        yield


def build_parser(chosen: str | None) -> argparse.ArgumentParser:
    """Build the parser; the function of the ``chosen`` command is in its ``run``."""
    parser = argparse.ArgumentParser(
        prog="sidecar",
        description="The security process beside an Envoy proxy: ext_authz, tenant context, "
        "security headers and certificates from Vault.",
        epilog="Documentation: README.md and docs/.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    parser.set_defaults(draws=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, words in COMMANDS.items():
        command = commands.add_parser(name, help=words)
        if name == chosen:
            import_module(f"sidecar.cli.{name}").add_arguments(command)
    return parser


def _show_config_fault(fault: ConfigFault) -> None:
    for problem in fault.problems:
        print(printable(f"{fault.source}: {problem}"), file=sys.stderr)
    count = len(fault.problems)
    print(f"{count} problem{'s' if count > 1 else ''} found", file=sys.stderr)


def _version() -> str:
    return version("septem-sidecar")
