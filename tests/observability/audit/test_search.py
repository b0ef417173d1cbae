"""A decision is found in the log and its rotated files, whatever else is in them."""

import os
from pathlib import Path

import pytest

from sidecar.common.errors import Fault
from sidecar.observability.audit.search import MAX_LINE_BYTES, find_decision


def write(path: Path, *lines: bytes, at: float = 0.0) -> Path:
    path.write_bytes(b"\n".join(lines) + b"\n")
    os.utime(path, (at, at))
    return path


def found(path: Path, decision_id: str = "d1") -> list[tuple[str, object]]:
    return [(file.name, entry.get("n")) for file, entry in find_decision(path, decision_id)]


ONE = b'{"decision_id":"d1","n":1}'


def test_the_log_comes_first_and_then_the_latest_rotated_file(tmp_path: Path) -> None:
    path = write(tmp_path / "audit", ONE, at=1)
    write(tmp_path / "audit.1", b'{"decision_id":"d1","n":2}', at=50)
    write(tmp_path / "audit.2", b'{"decision_id":"d1","n":3}', at=100)
    write(tmp_path / "audited.1", b'{"decision_id":"d1","n":4}')
    (tmp_path / "audit.d").mkdir()
    assert found(path) == [("audit", 1), ("audit.2", 3), ("audit.1", 2)]
    assert found(path, "d2") == []


LONG = b'{"decision_id":"d1","n":"%b"}'


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        (b'{"decision_id":"d11"}', [1]),
        (b'{"other":"d1"}', [1]),
        (b'["d1"]', [1]),
        (b'{"decision_id":"d1"', [1]),
        (b'{"decision_id":"d1\xff"}', [1]),
        (b'"d1' + b"[" * 10_000, [1]),
        (b'{"decision_id":"d1","n":2}\r', [2, 1]),
        (LONG % (b"x" * MAX_LINE_BYTES), [1]),
        (LONG % (b"x" * 3 * MAX_LINE_BYTES), [1]),
    ],
    ids=[
        "another id", "elsewhere", "no object", "cut", "no UTF-8", "deep", "two in one file",
        "too long", "much too long",
    ],
)  # fmt: skip
def test_other_lines_are_skipped_and_the_next_is_read(
    tmp_path: Path, line: bytes, numbers: list[int]
) -> None:
    assert [n for _, n in found(write(tmp_path / "audit", line, ONE))] == numbers


def test_the_longest_line_is_read(tmp_path: Path) -> None:
    room = MAX_LINE_BYTES - len(LONG % b"") - 1
    for more, count in ((0, 1), (1, 0)):
        path = write(tmp_path / "audit", LONG % (b"x" * (room + more)))
        assert len(found(path)) == count


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"audit does not exist: give the file that audit\.to\.path"):
        found(tmp_path / "audit")


def test_a_file_that_can_not_be_read_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    with pytest.raises(Fault, match="audit cannot be read: Is a directory"):
        found(tmp_path / "audit")
