"""The command line: arguments in, an exit code out, never a traceback.

Exit codes: 0 it worked; 1 it did not (the message says why); 2 the command or the
configuration is wrong.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TextIO, cast

from sidecar.cli import certs as cli_certs
from sidecar.cli import check as cli_check
from sidecar.cli import csp as cli_csp
from sidecar.cli import demo as cli_demo
from sidecar.cli import envoy as cli_envoy
from sidecar.cli import module as cli_module
from sidecar.cli import token as cli_token
from sidecar.common.errors import ConfigFault, Fault
from sidecar.common.printable import PrintableStream, printable, printable_lines

EXIT_OK = 0
EXIT_FAULT = 1
EXIT_CONFIG = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = build_parser().parse_args(arguments)
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


def build_parser() -> argparse.ArgumentParser:
    """Build the parser; every command's function is in its ``run``."""
    parser = argparse.ArgumentParser(
        prog="sidecar",
        description="The security process beside an Envoy proxy: ext_authz, tenant context, "
        "security headers and certificates from Vault.",
        epilog="Documentation: README.md and docs/.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    parser.set_defaults(draws=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_serve(commands)
    cli_demo.add_command(commands)
    _add_config(commands)
    cli_token.add_commands(commands)
    cli_check.add_commands(commands)
    cli_module.add_commands(commands)
    cli_csp.add_commands(commands)
    cli_certs.add_commands(commands)
    return parser


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser(
        "serve",
        help="answer Envoy",
        description="Answer Envoy's Checks and SDS requests until SIGTERM, then drain.",
    )
    serve.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings (YAML)")
    serve.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    from sidecar.config import load_config
    from sidecar.runtime.serve import serve

    return serve(load_config(options.config))


def _add_config(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    config = commands.add_parser("config", help="work with the configuration")
    subcommands = config.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = subcommands.add_parser(
        "check",
        help="find every problem in a file",
        description="Check a configuration file and name every problem in it, each with its line "
        "and path; then, as notes, what Envoy and the application must be configured for. Exit 0 "
        "if there is no problem, 2 otherwise.",
    )
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(run=_config_check)
    cli_envoy.add_command(subcommands)


def _config_check(options: argparse.Namespace) -> int:
    from sidecar.authz.notes import notes
    from sidecar.authz.snapshot import compile_routes
    from sidecar.config import load_config
    from sidecar.config.problem import show_path

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


def _show_config_fault(fault: ConfigFault) -> None:
    for problem in fault.problems:
        print(printable(f"{fault.source}: {problem}"), file=sys.stderr)
    count = len(fault.problems)
    print(f"{count} problem{'s' if count > 1 else ''} found", file=sys.stderr)


def _version() -> str:
    return version("septem-sidecar")
