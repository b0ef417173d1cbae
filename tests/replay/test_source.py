"""Files of lines: whatever is in them, in the order of their time, and bounded."""

import gzip
import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.common.errors import Fault
from sidecar.observability.audit.chain import BEGAN, LOST, trail_line
from sidecar.replay.line import MAX_LINE_BYTES
from sidecar.replay.source import MAX_FILES, read_lines
from sidecar.replay.tally import Tally
from tests.replay.lines import raw_line
from tests.support.minting import NOW

ZSTD = shutil.which("zstd")
"""Without it the files that would be compressed so are read as they are."""


def written(path: Path, *ids: int, packed: str = "") -> Path:
    text = b"".join(raw_line(decision_id=str(number), at=NOW + number) + b"\n" for number in ids)
    if packed == "gzip":
        text = gzip.compress(text)
    path.write_bytes(text)
    if packed == "zstd" and ZSTD is not None:
        subprocess.run([ZSTD, "-q", "--rm", str(path), "-o", f"{path}.zst"], check=True)
        return Path(f"{path}.zst")
    return path


def ids_of(*paths: Path) -> tuple[list[str], int]:
    tally = Tally()
    found = [line.decision_id for line in read_lines(paths, tally)]
    return found, tally.skipped


def test_files_are_read_in_the_order_of_their_time(tmp_path: Path) -> None:
    newest = written(tmp_path / "audit.jsonl", 5, 6, 9)
    rotated = written(tmp_path / "audit.jsonl.1", 1, 2, packed="gzip")
    other = written(tmp_path / "other.jsonl", 3, 7, 8, packed="zstd")
    assert ids_of(newest, rotated, other) == ([str(n) for n in (1, 2, 3, 5, 6, 7, 8, 9)], 0)


def test_one_file_is_read_as_it_is(tmp_path: Path) -> None:
    assert ids_of(written(tmp_path / "audit.jsonl", 5, 1, 3)) == (["5", "1", "3"], 0)


def test_what_is_no_line_is_skipped_and_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "audit.jsonl", 1)
    good = raw_line(decision_id="2")
    with path.open("ab") as file:
        file.write(b"rubbish\n\n  \n" + b"x" * (3 * MAX_LINE_BYTES) + b"\n")
        file.write(b'{"time":1}\n\x00\xff\n' + good + b"\n" + good[:30])
    assert ids_of(path) == (["1", "2"], 5)


def test_lines_of_the_chain_are_no_decisions_and_no_rubbish(tmp_path: Path) -> None:
    path, time = written(tmp_path / "audit.jsonl", 1), "2026-09-21T14:13:20.000+00:00"
    with path.open("ab") as file:
        file.write(trail_line(time, BEGAN, "a chain begins"))
        file.write(trail_line(time, LOST, "lines were lost", lost=7))
        file.write(b'{"outcome":"trail","lost":"many"}\n')
    tally = Tally()
    assert [line.decision_id for line in read_lines([path], tally)] == ["1"]
    assert (tally.lost, tally.skipped) == (7, 1)


def test_a_line_of_the_longest_length_is_read(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    line = raw_line(decision_id="1")
    pad = MAX_LINE_BYTES - len(line) - len(b',"x":""') - 1
    longest = line[:-1] + b',"x":"' + b"y" * pad + b'"}'
    path.write_bytes(longest + b"\n" + longest[:-2] + b'y"}\n' + line + b"\n")
    assert len(longest) + 1 == MAX_LINE_BYTES
    assert ids_of(path) == (["1", "1"], 1)


@pytest.mark.parametrize("packed", ["", "gzip"])
def test_standard_input_is_a_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: str
) -> None:
    data = written(tmp_path / "a", 1, 2, packed=packed).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
    assert ids_of(Path("-")) == (["1", "2"], 0)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    torn = written(tmp_path / "torn.gz", *range(300), packed="gzip")
    torn.write_bytes(torn.read_bytes()[:-40])
    flipped = tmp_path / "flipped.gz"
    data = bytearray(gzip.compress(b"x" * 100_000))
    data[40] ^= 255
    flipped.write_bytes(data)
    for path in (torn, flipped, tmp_path / "absent", tmp_path):
        with pytest.raises(Fault, match="can't be read"):
            ids_of(path)


def test_too_many_files_are_refused() -> None:
    with pytest.raises(Fault, match="at most 256"):
        ids_of(*[Path("x")] * (MAX_FILES + 1))
