"""A decision is found in the log and its rotated files, whatever else is in them."""

import os
from pathlib import Path

import msgspec
import pytest

from sidecar.common.errors import Fault
from sidecar.common.printable import escape_json
from sidecar.observability.audit.search import MAX_LINE_BYTES, bare_id, find_decisions


def write(path: Path, *lines: bytes, at: float = 0.0) -> Path:
    path.write_bytes(b"\n".join(lines) + b"\n")
    os.utime(path, (at, at))
    return path


def found(path: Path, decision_id: str = "d1") -> list[tuple[str, object]]:
    return [(file.name, entry.get("n")) for file, entry in find_decisions(path, decision_id)]


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


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
IDS = {
    "the decision's": ("decision_id", "4f0c2a"),
    "the request's": ("request_id", "0d1c6c3a-5b0e-4c1d-9a55-6a0b7f0c1e2d"),
    "the trace's": ("trace_id", TRACE),
    "the token's": ("token_id", 'https://id.example/tokens#\u00e9\u202e"7"'),
    "the token's digest": ("token_digest", "9f86d081884c7d65"),
}


@pytest.mark.parametrize(("field", "value"), IDS.values(), ids=IDS)
def test_a_line_is_found_by_each_of_its_ids(tmp_path: Path, field: str, value: str) -> None:
    line = escape_json(msgspec.json.encode({"decision_id": "d1", field: value, "n": 1}))
    other = msgspec.json.encode({"decision_id": "d2", "subject": value, "detail": value, "n": 2})
    assert found(write(tmp_path / "audit", line, other), value) == [("audit", 1)]


@pytest.mark.parametrize("nothing", ["", "\udcff", "d1\udcff"])
def test_an_id_that_is_none_finds_nothing(tmp_path: Path, nothing: str) -> None:
    assert found(write(tmp_path / "audit", ONE, b'{"decision_id":"","n":2}'), nothing) == []


@pytest.mark.parametrize(
    ("copied", "bare"),
    [
        ("urn:septem:decision:4f0c2a", "4f0c2a"),
        (" 4f0c2a\n", "4f0c2a"),
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        ("urn:example:token:1", "urn:example:token:1"),
    ],
)
def test_an_id_may_be_given_as_it_was_copied(copied: str, bare: str) -> None:
    assert bare_id(copied) == bare
