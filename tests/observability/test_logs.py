"""The log on a bad day: nobody reads it, its reader is gone, a record is broken."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sidecar.observability.logs import LogOutput

ROOT = Path(__file__).parents[2]
LOG = logging.getLogger("sidecar.test")


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """Give a list that holds the lines once the block is left."""
    before = logging.getLogger().handlers[:], logging.getLogger().level
    stream = io.StringIO()
    output = LogOutput("info", stream)
    lines: list[dict[str, Any]] = []
    try:
        yield lines
    finally:
        assert output.close(5)
        logging.getLogger().handlers[:], level = before
        logging.getLogger().setLevel(level)
    lines += [json.loads(line) for line in stream.getvalue().splitlines()]


SURVIVES = [
    ("arguments that do not fit", "with %d", ("x",), {}, "with %d [its arguments do not fit]"),
    ("too few arguments", "%s and %s", ("x",), {}, "%s and %s [its arguments do not fit]"),
    ("a lone surrogate", "\ud800", (), {}, "\\ud800"),
    ("a value JSON does not know", "m", (), {"state": {1}}, "m"),
    ("a line break", "a\nb", (), {}, "a\nb"),
]


@pytest.mark.parametrize(
    ("text", "arguments", "extra", "message"),
    [s[1:] for s in SURVIVES],
    ids=[s[0] for s in SURVIVES],
)
def test_a_broken_record_is_still_one_line(
    text: str, arguments: tuple[object, ...], extra: dict[str, object], message: str
) -> None:
    with logged() as lines:
        LOG.info(text, *arguments, extra=extra)
        LOG.info("the next")
    assert [line["message"] for line in lines] == [message, "the next"]


def test_fields_are_an_allow_list() -> None:
    with logged() as lines:
        LOG.info("m", extra={"issuer": "https://iam.example", "count": 2, "password": "hunter2"})
    assert lines[0].keys() == {"time", "level", "logger", "message", "issuer", "count"}


def test_an_exception_shows_its_message_and_its_cause_however_long_the_chain() -> None:
    def fail(depth: int) -> None:
        if not depth:
            raise ValueError("where it began")
        try:
            fail(depth - 1)
        except Exception as exc:
            raise RuntimeError("y" * 150) from exc

    with logged() as lines:
        try:
            fail(20)
        except RuntimeError:
            LOG.exception("failed")
    assert lines[0]["exception"] == "RuntimeError"
    assert lines[0]["exception_message"] == "y" * 150
    assert "where it began" in lines[0]["traceback"]
    assert len(lines[0]["traceback"]) <= 4096


def test_a_stream_that_fails_is_counted() -> None:
    stream = io.StringIO()
    stream.close()
    before = logging.getLogger().handlers[:]
    output = LogOutput("info", stream)
    LOG.info("one")
    assert output.close(5)
    logging.getLogger().handlers[:] = before
    assert output.dropped == 1


PROGRAM = """
import logging, sys
from sidecar.observability.logs import LogOutput
output = LogOutput("info")
for _ in range(int(sys.argv[1])):
    logging.getLogger("sidecar").info("x" * 1000)
print(output.close(0.3), output.dropped > 0)
"""


def run(records: int, stderr: int) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(records)],
        stdout=subprocess.PIPE,
        stderr=stderr,
        cwd=ROOT,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stdout.decode().strip()


@pytest.mark.parametrize(
    ("records", "said"),
    [(10, "True False"), (500, "False False"), (20_000, "False True")],
    ids=["what the pipe holds", "more than the pipe holds", "more than the queue holds"],
)
def test_a_pipe_nobody_reads_keeps_no_process_from_ending(records: int, said: str) -> None:
    reading, writing = os.pipe()
    try:
        assert run(records, writing) == (0, said)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_reader_who_is_gone_costs_lines_and_nothing_else() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert run(10, writing) == (0, "True True")
    finally:
        os.close(writing)
