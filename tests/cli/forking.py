"""Runs the console script many times, each in a fork of one process that has imported it all.

Reads a JSON list on standard input, of ``arguments``, ``stdin``, ``output`` and ``encoding``;
writes one of ``code``, ``out`` and ``err``. ``output`` is a file, or ``closed`` for a pipe that
nobody reads. Each child ends as a process of its own would: its buffers are written at its exit.
"""

import gc
import io
import json
import os
import sys
import tempfile
from typing import Any

from sidecar.cli import main as command_line
from sidecar.cli.entry import main


def run(case: dict[str, Any]) -> dict[str, Any] | None:
    """Fork; in the child return ``None``, with everything in place for ``main``."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            _become(case, out.fileno(), err.fileno())
            return None
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        return {
            "code": os.waitstatus_to_exitcode(status),
            "out": out.read().decode("latin-1"),
            "err": err.read().decode("latin-1"),
        }


def _become(case: dict[str, Any], out: int, err: int) -> None:
    if case["output"] == "closed":
        reading, out = os.pipe()
        os.close(reading)
    elif case["output"]:
        out = os.open(case["output"], os.O_WRONLY)
    with tempfile.TemporaryFile() as stdin:
        stdin.write(case["stdin"].encode())
        stdin.seek(0)
        for number, target in ((stdin.fileno(), 0), (out, 1), (err, 2)):
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
