"""The output of a program ends only where the program succeeded."""

import os
import sys

import pytest

from workload.backups.errors import BackupFault
from workload.backups.producer import CommandOutput


def _read(*command: str) -> bytes:
    content, buffer = b"", memoryview(bytearray(1000))
    with CommandOutput(command) as output:
        while got := output.readinto(buffer):
            content += buffer[:got]
    return content


def test_all_of_its_output_is_read() -> None:
    assert _read(sys.executable, "-c", "print('x' * 9999, end='')") == b"x" * 9999


def test_it_has_no_standard_input() -> None:
    assert _read("cat") == b""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["false"], "failed with status 1: its output was not sealed"),
        (["sh", "-c", "echo half; exit 3"], "failed with status 3"),
        (["sh", "-c", "exec >&-; exit 4"], "failed with status 4"),
        (["sh", "-c", "kill -9 $$"], "was ended by signal 9"),
        (["no-such-program"], "can't be started: No such file"),
    ],
)
def test_a_program_that_fails_has_no_end(command: list[str], said: str) -> None:
    with pytest.raises(BackupFault, match=said):
        _read(*command)


def test_it_is_ended_where_its_output_is_no_longer_wanted() -> None:
    with CommandOutput(["sh", "-c", "echo $$; exec sleep 1000"]) as output:
        buffer = memoryview(bytearray(100))
        pid = int(bytes(buffer[: output.readinto(buffer)]))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
