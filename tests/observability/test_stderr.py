"""What libraries write to standard error is a line of the log; a crash is on the real one."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.observability.stderr import MAX_LINE_BYTES, log_line

ROOT = Path(__file__).parents[2]
BEGIN = """
import os, sys
from sidecar.observability.logs import LogOutput
from sidecar.observability.stderr import ForeignLines
foreign = ForeignLines()
foreign.start()
log = LogOutput("info", descriptor=foreign.descriptor)
"""
END = """
foreign.close()
log.close()
os.write(2, b"the real one\\n")
"""


def run(source: str, before: str = BEGIN, end: str = END) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", f"{before}{source}{end}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("raw", "logger", "level", "message"),
    [
        (
            b"E1126 00:31:02.245390   15893 add_port.cc:83] Failed to add port: in use",
            "grpc", logging.ERROR, "Failed to add port: in use (add_port.cc:83)",
        ),
        (b"I1126 00:31:02.245390 1 ev.cc:1] epoll", "grpc", logging.INFO, "epoll (ev.cc:1)"),
        (b"W1126 00:31:02.245390 1 ev.cc:1] hm  ", "grpc", logging.WARNING, "hm (ev.cc:1)"),
        (b"F1126 00:31:02.245390 1 ev.cc:1] end", "grpc", logging.CRITICAL, "end (ev.cc:1)"),
        (b"Exception ignored in: <x>", "stderr", logging.WARNING, "Exception ignored in: <x>"),
        (b"\xff\x00", "stderr", logging.WARNING, "\\xff\x00"),
    ],
)  # fmt: skip
def test_a_line_has_its_level(
    caplog: pytest.LogCaptureFixture, raw: bytes, logger: str, level: int, message: str
) -> None:
    with caplog.at_level(logging.INFO):
        log_line(raw)
    assert caplog.record_tuples == [(logger, level, message)]


def test_an_empty_line_is_none(caplog: pytest.LogCaptureFixture) -> None:
    log_line(b"  ")
    assert caplog.records == []


def test_what_grpcios_core_says_of_a_port_is_json() -> None:
    done = run("""
import asyncio, socket
taken = socket.create_server(("127.0.0.1", 0))
from sidecar.transport.aio import GrpcServer
from sidecar.transport.sockets import ListenFault
async def listen():
    try:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        await GrpcServer(address, "x.Y", (), max_message_bytes=8192).start()
    except ListenFault:
        print("refused", flush=True)
asyncio.run(listen())
""")
    assert done.stdout == "refused\n", done.stderr
    *lines, real = done.stderr.splitlines()
    assert real == "the real one"
    (said,) = [each for each in map(json.loads, lines) if each["logger"] == "grpc"]
    assert "Address already in use" in said["message"]
    assert said["level"] == "error"


def test_lines_come_whole_however_they_are_written_and_the_last_one_without_its_end() -> None:
    done = run("""
for part in (b"on", b"e\\ntwo\\n", b"", b"x" * 20000, b"\\nthe end"):
    os.write(2, part)
print("of Python", file=sys.stderr)
""")
    *lines, real = done.stderr.splitlines()
    messages = [json.loads(line)["message"] for line in lines]
    assert messages[:2] == ["one", "two"]
    assert "".join(messages[2:-1]).count("x") > 0
    assert max(map(len, messages)) <= MAX_LINE_BYTES
    assert messages[-1] == "the endof Python"
    assert real == "the real one"


def test_a_crash_is_told_on_the_real_one() -> None:
    done = run("import ctypes; ctypes.string_at(0)")
    assert done.returncode < 0
    assert "Segmentation fault" in done.stderr


def test_without_a_descriptor_left_it_stays_as_it_is() -> None:
    limit = """
import resource
import os, sys
from sidecar.observability.logs import LogOutput
from sidecar.observability.stderr import ForeignLines
foreign = ForeignLines()
before = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
foreign.start()
resource.setrlimit(resource.RLIMIT_NOFILE, before)
log = LogOutput("info", descriptor=foreign.descriptor)
"""
    done = run("os.write(2, b'as it is\\n')", limit)
    assert "as it is\nthe real one\n" in done.stderr
