"""A key is wrapped again in place: one sector changes, and no other byte."""

import fcntl
import os
from pathlib import Path

import pytest

from tests.workload.backups.archives_in_hand import WRAPPED, content_of, seal, unseal
from workload.backups.errors import ArchiveAltered, ArchiveUnexpected, BackupFault
from workload.backups.header import ArchiveHeader
from workload.backups.rewrapping import rewrap_file

NEWER = WRAPPED.replace(":v3:", ":v10:")
CONTENT = content_of(2000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "archive"
    made.write_bytes(seal(CONTENT))
    return made


async def _newer(header: ArchiveHeader) -> str:
    assert header.wrapped == WRAPPED
    return NEWER


async def test_one_sector_changes(path: Path) -> None:
    before = path.read_bytes()
    assert await rewrap_file(path, _newer) == (3, 10)
    after = path.read_bytes()
    assert (after[:512], after[1024:]) == (before[:512], before[1024:])
    assert after == seal(CONTENT, wrapped=NEWER)
    assert unseal(after) == CONTENT


async def test_a_refusal_changes_nothing(path: Path) -> None:
    async def refuses(_header: ArchiveHeader) -> str:
        raise ArchiveUnexpected("no")

    async def nonsense(_header: ArchiveHeader) -> str:
        return "vault:v1:nonsense"

    before = path.read_bytes()
    for rewrap, fault in ((refuses, ArchiveUnexpected), (nonsense, BackupFault)):
        with pytest.raises(fault):
            await rewrap_file(path, rewrap)
        assert path.read_bytes() == before


async def test_two_at_once_are_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(BackupFault, match="another process"):
            await rewrap_file(path, _newer)
    finally:
        os.close(descriptor)


async def test_what_is_no_archive_is_left(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("notes")
    with pytest.raises(ArchiveAltered, match="no sealed archive"):
        await rewrap_file(path, _newer)
    assert path.read_text() == "notes"
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BackupFault, match="no regular file"):  # and it does not wait for a writer
        await rewrap_file(tmp_path / "fifo", _newer)
    with pytest.raises(BackupFault, match="can't be rewrapped: No such file"):
        await rewrap_file(tmp_path / "none", _newer)
