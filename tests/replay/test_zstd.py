"""Files of zstd: read whole, and what is torn or can't be read is said."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sidecar.common.errors import Fault
from sidecar.replay.zstd import ZstdReader

ZSTD = shutil.which("zstd")
pytestmark = pytest.mark.skipif(ZSTD is None, reason="the command zstd is not installed")


def packed(folder: Path, data: bytes) -> Path:
    plain, path = folder / "plain", folder / "-plain.zst"
    plain.write_bytes(data)
    subprocess.run([str(ZSTD), "-q", str(plain), "-o", str(path)], check=True)
    return path


def test_what_was_packed_is_read(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    with ZstdReader(packed(tmp_path, data)) as reader:
        assert reader.readable()
        assert reader.read() == data


def test_a_torn_file_is_said(tmp_path: Path) -> None:
    path = packed(tmp_path, bytes(range(256)) * 50_000)
    path.write_bytes(path.read_bytes()[:-5])
    with ZstdReader(path) as reader, pytest.raises(OSError, match="can't decompress"):
        reader.read()


def test_a_reader_that_stops_early_leaves_no_process(tmp_path: Path) -> None:
    reader = ZstdReader(packed(tmp_path, b"x" * 50_000_000))
    assert len(reader.read(10)) == 10
    reader.close()
    assert reader._process.returncode is not None
    reader.close()


def test_what_cannot_be_unpacked_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Fault, match="sidecar replay -"):
        ZstdReader(Path("-"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Fault, match="install the command zstd"):
        ZstdReader(tmp_path / "a.zst")
