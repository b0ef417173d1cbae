"""The command line: arguments in, an exit code out, never a traceback.

Exit codes: 0 it worked; 1 it did not (the message says why); 2 the command or the
configuration is wrong.
"""

import argparse
import contextlib
import errno
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TextIO, cast

from sidecar.cli.entry import chosen_command
from sidecar.cli.show_version import ShowVersion
from sidecar.common.errors import ConfigFault, Fault
from sidecar.common.printable import PrintableStream, plural, printable, printable_lines
from sidecar.runtime.signals import SignalThread

EXIT_FAULT = 1
EXIT_CONFIG = 2
EXIT_INTERRUPTED = 130
COMMANDS: Mapping[str, str] = {
    "serve": "answer Envoy",
    "demo": "see it work: real Envoy, real OpenBao, one minute (from a clone)",
    "health": "ask a running sidecar whether it is ready, for exec probes",
    "config": "work with the configuration",
    "envoy": "find what is wrong in an Envoy configuration",
    "token": "verify tokens, or mint them for development",
    "idp": "see what an identity provider publishes, and what its tokens need",
    "revoke": "revoke tokens, subjects, tenants or keys, and wait until that is in force",
    "check": "evaluate requests offline, or test a policy",
    "explain": "find a decision in the audit log",
    "audit": "verify the audit trail",
    "replay": "decide an audit log again by another configuration",
    "module": "sign and verify bundles of modules",
    "csp": "lint policies, and learn from violation reports",
    "certs": "the certificates of a running sidecar",
    "doctor": "look at an installation from the sidecar's side, and say the next step",
    "vault": "a configuration's needs of Vault: policy, a server that has it all, backup",
}
"""Every command, and what it is for. Its module of this package is imported when it is chosen:
``serve`` holds in memory what serving needs, and ``--help`` imports no component."""

_OUTPUT_ERRORS = frozenset(
    {errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EINVAL, errno.EIO, errno.ENOSPC}
)
"""What writing to a stream ends with (write(2)); a pipe without a reader is no failure."""


def main(
    arguments: Sequence[str] | None = None,
    imported: Callable[[], None] = lambda: None,
    signals: SignalThread | None = None,
) -> int:
    """Run one command and return its exit code.

    ``imported`` is called when every module that the command needs is there; ``signals`` are
    those of this process, if they are taken already (``sidecar.cli.entry``). Whatever happens
    to the output, a command ends with an exit code and without a traceback: characters that a
    stream can't take are escaped, a reader that has gone is no error of ours, and output that
    can't be written is a failure.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    _escape_what_a_stream_cannot_take()
    try:
        code = _main(given, imported, signals)
        _flush()
    except BrokenPipeError:
        # The reader of the output has closed the pipe.
        _discard_output()
        return EXIT_FAULT
    except OSError as exc:
        _discard_output()
        with contextlib.suppress(OSError):
            print(printable(f"sidecar: {_place_of(exc)}: {exc.strerror}"), file=sys.stderr)
        return EXIT_FAULT
    return code


def _place_of(exc: OSError) -> str:
    """Return what an operator has to look at: a file, the network, or where the output goes."""
    if exc.filename is not None:
        return str(exc.filename)
    is_of_output = exc.errno in _OUTPUT_ERRORS
    return "the output can't be written" if is_of_output else "the system refused a call"


def _main(given: list[str], imported: Callable[[], None], signals: SignalThread | None) -> int:
    known = argparse.Namespace(signals=signals)
    try:
        # It imports the command, which takes a moment.
        options = build_parser(chosen_command(given)).parse_args(given, known)
        imported()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as exit_:
        return int(exit_.code or 0)
    # The demo draws on the terminal itself.
    with contextlib.nullcontext() if options.draws else _printable_output():
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        code: int = options.run(options)
    except ConfigFault as fault:
        _show_config_fault(fault, as_json=options.json)
        return EXIT_CONFIG
    except Fault as fault:
        show = printable_lines if options.draws else printable
        text = f"sidecar: {show(str(fault))}"
        print(json.dumps({"error": str(fault)}) if options.json else text, file=sys.stderr)
        return EXIT_FAULT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _escape_what_a_stream_cannot_take() -> None:
    """Let standard output and error write every text, in ASCII terminals too."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed by whoever started us
            stream.flush()


def _discard_output() -> None:
    """Point standard output to nowhere: what is left in its buffer is written at the exit."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def _printable_output() -> Iterator[None]:
    """Replace standard output and error by printable streams while a terminal is attached."""
    with contextlib.ExitStack() as stack:
        if sys.stdout is not None and sys.stdout.isatty():
            out = cast("TextIO", PrintableStream(sys.stdout))
            stack.enter_context(contextlib.redirect_stdout(out))
        if sys.stderr is not None and sys.stderr.isatty():
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
    parser.add_argument("--version", action=ShowVersion)
    parser.set_defaults(draws=False, json=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, words in COMMANDS.items():
        command = commands.add_parser(name, help=words)
        if name == chosen:
            import_module(f"sidecar.cli.{name}").add_arguments(command)
    return parser


def _show_config_fault(fault: ConfigFault, *, as_json: bool) -> None:
    if as_json:
        found = {"error": str(fault), "file": fault.source, "problems": list(fault.problems)}
        print(json.dumps(found), file=sys.stderr)
        return
    for problem in fault.problems:
        print(printable(f"{fault.source}: {problem}"), file=sys.stderr)
    print(f"{plural(len(fault.problems), 'problem')} found", file=sys.stderr)
