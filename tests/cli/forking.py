"""Runs the console script many times, each in a fork of one process that has imported it all.

Reads a JSON list on standard input, of ``arguments``, ``stdin``, ``output`` and ``encoding``;
writes one of ``code``, ``out`` and ``err``. ``output`` is a file, ``closed`` for a pipe that
nobody reads, or ``beside a terminal``: standard input and error are one then, and the output is
not. Each child ends as a process of its own would: its buffers are written at its exit.
"""

import contextlib
import gc
import io
import json
import os
import sys
import tempfile
import termios
import tty
from typing import IO, Any

from sidecar.cli import main as command_line
from sidecar.cli.entry import main


def run(case: dict[str, Any]) -> dict[str, Any] | None:
    """Fork; in the child return ``None``, with everything in place for ``main``."""
    if case["output"] == "beside a terminal":
        return _run_beside_a_terminal(case)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            with tempfile.TemporaryFile() as stdin:
                stdin.write(case["stdin"].encode())
                stdin.seek(0)
                _become(case, stdin.fileno(), _output_of(case, out.fileno()), err.fileno())
            return None
        _, status = os.waitpid(child, 0)
        return _result(status, _content(out), _content(err))


def _run_beside_a_terminal(case: dict[str, Any]) -> dict[str, Any] | None:
    with tempfile.TemporaryFile() as out:
        screen, terminal = os.openpty()
        tty.setcbreak(terminal)  # no echo
        settings = termios.tcgetattr(terminal)
        settings[3] |= termios.ICANON  # so that ^D is an end
        termios.tcsetattr(terminal, termios.TCSANOW, settings)
        os.write(screen, case["stdin"].encode() + b"\x04")
        child = os.fork()
        if child == 0:
            os.close(screen)
            _become(case, terminal, out.fileno(), terminal)
            return None
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the child has ended
            while part := os.read(screen, 65_536):
                shown += part
        os.close(screen)
        _, status = os.waitpid(child, 0)
        return _result(status, _content(out), shown)


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _result(status: int, out: bytes, err: bytes) -> dict[str, Any]:
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "out": out.decode(errors="replace"), "err": err.decode(errors="replace")}


def _output_of(case: dict[str, Any], usual: int) -> int:
    if case["output"] == "closed":
        reading, out = os.pipe()
        os.close(reading)
        return out
    return os.open(case["output"], os.O_WRONLY) if case["output"] else usual


def _become(case: dict[str, Any], stdin: int, out: int, err: int) -> None:
    for number, target in ((stdin, 0), (out, 1), (err, 2)):
        os.dup2(number, target)
    sys.stdin, sys.stdout, sys.stderr = (
        io.TextIOWrapper(os.fdopen(number, mode, closefd=False), encoding=case["encoding"])
        for number, mode in ((0, "rb"), (1, "wb"), (2, "wb"))
    )
    sys.argv = ["sidecar", *case["arguments"]]


def play() -> list[dict[str, Any]] | None:
    """Run every case; in a child return ``None``."""
    results = []
    for case in json.load(sys.stdin):
        result = run(case)
        if result is None:
            return None
        results.append(result)
    return results


if __name__ == "__main__":
    for name in command_line.COMMANDS:
        command_line.build_parser(name)
    gc.freeze()  # a child's end need not walk through what every child has
    played = play()
    if played is None:
        raise SystemExit(main())
    json.dump(played, sys.stdout)
