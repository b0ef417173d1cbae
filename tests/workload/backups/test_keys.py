"""A real OpenBao wraps the keys of archives, and each job's policy allows that job alone."""

import io
from pathlib import Path

import pytest

from demo.openbao import OpenBao
from tests.workload.backups.archives_in_hand import content_of
from tests.workload.backups.backup_vault import MOUNT, BackupVault
from workload.backups.archive import (
    new_label,
    opened_chunks,
    read_archive_header,
    seal_archive,
)
from workload.backups.errors import ArchiveAltered, ArchiveUnexpected, BackupFault
from workload.backups.header import ArchiveHeader
from workload.backups.keys import BackupKeys
from workload.vault.errors import VaultRefuses

pytestmark = pytest.mark.real
CONTENT = content_of(3000)


async def _sealed(vault: BackupVault) -> tuple[ArchiveHeader, bytes]:
    label = new_label("orders", 1.0, mount=MOUNT, key=vault.key)
    data_key, wrapped = await vault.keys("seal").new(label)
    out: list[bytes] = []
    seal_archive(io.BytesIO(CONTENT), out.append, label, data_key, wrapped)
    archive = b"".join(out)
    return read_archive_header(io.BytesIO(archive)), archive


async def _open(keys: BackupKeys, archive: bytes) -> bytes:
    source = io.BytesIO(archive)
    header = read_archive_header(source)
    return b"".join(opened_chunks(source, header, await keys.unwrap(header)))


async def test_each_policy_lets_do_one_job(vault: BackupVault) -> None:
    header, archive = await _sealed(vault)
    seal, open_, rewrap = (vault.keys(job) for job in ("seal", "open", "rewrap"))
    assert await _open(open_, archive) == CONTENT
    assert await rewrap.rewrap(header)
    for keys in (seal, rewrap):
        with pytest.raises(VaultRefuses):
            await keys.unwrap(header)
    for keys in (seal, open_):
        with pytest.raises(VaultRefuses):
            await keys.rewrap(header)
    for keys in (open_, rewrap):
        with pytest.raises(VaultRefuses):
            await keys.new(header.label)


async def test_old_archives_open_after_a_rotation_until_their_version_ends(
    vault: BackupVault,
) -> None:
    header, archive = await _sealed(vault)
    vault.rotate()
    keys = vault.keys("open", "rewrap")
    assert await _open(keys, archive) == CONTENT
    rewrapped = header._replace(wrapped=await keys.rewrap(header)).encode() + archive[1024:]
    vault.write("/config", {"min_decryption_version": 2})
    with pytest.raises(ArchiveUnexpected, match=r"says version 1: .*min_decryption_version"):
        await _open(keys, archive)
    assert await _open(keys, rewrapped) == CONTENT


async def test_a_key_that_was_deleted_opens_nothing_ever(vault: BackupVault) -> None:
    _, archive = await _sealed(vault)
    vault.write("/config", {"deletion_allowed": True})
    vault.server.client.secrets.transit.delete_key(vault.key, mount_point=MOUNT)
    with pytest.raises(ArchiveUnexpected, match="the key was deleted"):
        await _open(vault.keys("open"), archive)
    vault.write("", {"type": "aes256-gcm96"})
    with pytest.raises(ArchiveUnexpected, match="made anew"):
        await _open(vault.keys("open"), archive)


async def test_a_wrapped_key_that_was_altered_or_exchanged_is_noticed(vault: BackupVault) -> None:
    header, archive = await _sealed(vault)
    other, _ = await _sealed(vault)
    keys = vault.keys("open")
    for at in (9, 30, len(header.wrapped) - 1):
        letter = "B" if header.wrapped[at] != "B" else "C"
        text = header.wrapped[:at] + letter + header.wrapped[at + 1 :]
        with pytest.raises(ArchiveUnexpected, match="bytes 512 to 1023"):
            await _open(keys, header._replace(wrapped=text).encode() + archive[1024:])
    with pytest.raises(ArchiveAltered, match="another archive's"):
        await _open(keys, header._replace(wrapped=other.wrapped).encode() + archive[1024:])


async def test_an_archive_of_another_key_is_not_even_asked_about(
    openbao: OpenBao, tmp_path: Path, vault: BackupVault
) -> None:
    """Who has another key of the same Vault could make archives that open."""
    theirs = BackupVault(openbao, tmp_path)
    header, _ = await _sealed(theirs)
    keys = vault.keys("open", "rewrap")
    for call in (keys.unwrap(header), keys.rewrap(header)):
        with pytest.raises(ArchiveUnexpected, match=f"says that {MOUNT}/{theirs.key} wrapped"):
            await call
    with pytest.raises(BackupFault, match="the label says"):
        await keys.new(header.label)


async def test_a_key_that_does_not_fit_is_said_with_what_to_do(
    openbao: OpenBao, tmp_path: Path
) -> None:
    derived = BackupVault(openbao, tmp_path, derived=True)
    label = new_label("orders", 1.0, mount=MOUNT, key=derived.key)
    with pytest.raises(BackupFault, match="type aes256-gcm96 and not derived"):
        await derived.keys("seal").new(label)
