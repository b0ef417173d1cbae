"""Entries in a file that a key of a real OpenBao seals, and nothing of them in the clear."""

from pathlib import Path

import pytest

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.common.errors import Fault
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden
from sidecar.vault_backup.entries import MAX_LINE_BYTES, EntryFault, StoredEntry
from sidecar.vault_backup.sealed_file import (
    ClientWrapping,
    _key,
    opened_archive,
    sealed_entries,
)
from tests.support.real import TokenFile
from tests.vault_backup.kv_world import SEAL_KEY
from workload.backups.archive import new_label
from workload.backups.errors import ArchiveAltered, ArchiveUnexpected, KeyRefused
from workload.backups.expectations import Expectations
from workload.backups.keys import BackupKeys
from workload.backups.policies import policy_of_job

pytestmark = pytest.mark.real
ENTRIES = [StoredEntry("secret", f"a/{at}", at, 1.5, {"value": "top secret"}) for at in (1, 2)]
LABEL = new_label("sidecar vault", 1.0, key=SEAL_KEY)
ANY = Expectations()


def _client(server: OpenBao, folder: Path, *jobs: str) -> VaultClient:
    policy = "".join(policy_of_job(job, LABEL) for job in jobs)
    token = TokenFile(folder / "-".join(("token", *jobs)))
    token.write(server.token_for(policy, name="-".join(("sealed-file", *jobs))))
    return VaultClient(token.settings(server.address), clock=monotonic_seconds)


def _keys(server: OpenBao, folder: Path, *jobs: str) -> BackupKeys:
    return BackupKeys(
        ClientWrapping(_client(server, folder, *jobs), "transit", SEAL_KEY), "transit", SEAL_KEY
    )


@pytest.fixture
async def archive(sealing: OpenBao, tmp_path: Path) -> Path:
    path = tmp_path / "archive"
    keys = _keys(sealing, tmp_path, "seal")
    async with sealed_entries(path, keys, LABEL, overwrite=False) as writer:
        for each in ENTRIES:
            writer.add(each)
        assert not path.exists()
    return path


async def test_entries_are_read_as_often_as_they_are_asked_for(
    sealing: OpenBao, archive: Path, tmp_path: Path
) -> None:
    assert b"secret" not in archive.read_bytes()
    with opened_archive(archive, _keys(sealing, tmp_path, "open"), ANY) as opened:
        for _ in range(2):
            assert list(await opened.entries()) == ENTRIES


async def test_who_seals_opens_nothing(sealing: OpenBao, archive: Path, tmp_path: Path) -> None:
    keys = _keys(sealing, tmp_path, "seal")
    with opened_archive(archive, keys, ANY) as opened, pytest.raises(VaultForbidden):
        await opened.entries()


async def test_a_writer_that_fails_leaves_no_file(sealing: OpenBao, tmp_path: Path) -> None:
    path, keys = tmp_path / "archive", _keys(sealing, tmp_path, "seal")
    long = StoredEntry("secret", "a", 1, 1.5, {"value": "x" * MAX_LINE_BYTES})
    with pytest.raises(EntryFault):
        async with sealed_entries(path, keys, LABEL, overwrite=False) as writer:
            writer.add(long)
    assert not path.exists()


async def test_an_altered_archive_and_another_one(
    sealing: OpenBao, archive: Path, tmp_path: Path
) -> None:
    keys = _keys(sealing, tmp_path, "open")
    with opened_archive(archive, keys, Expectations("other")) as opened:
        entries = await opened.entries()
        with pytest.raises(ArchiveUnexpected, match="not of other"):
            list(entries)
    raw = bytearray(archive.read_bytes())
    raw[-1] ^= 1
    archive.write_bytes(raw)
    with opened_archive(archive, keys, ANY) as opened:
        entries = await opened.entries()
        with pytest.raises(ArchiveAltered, match="chunk 0"):
            list(entries)


async def test_a_file_that_is_not_there_is_named(sealing: OpenBao, tmp_path: Path) -> None:
    keys = _keys(sealing, tmp_path, "open")
    with (
        pytest.raises(Fault, match="none can't be read: No such file"),
        opened_archive(tmp_path / "none", keys, ANY),
    ):
        pass


async def test_what_vault_takes_for_invalid_is_a_refused_key(
    sealing: OpenBao, tmp_path: Path
) -> None:
    sealing.client.write_data(
        "transit/keys/backups-derived", data={"type": "aes256-gcm96", "derived": True}
    )
    policy = 'path "transit/datakey/plaintext/*" { capabilities = ["update"] }'
    token = TokenFile(tmp_path / "token-any")
    token.write(sealing.token_for(policy, name="sealed-file-any"))
    vault = VaultClient(token.settings(sealing.address), clock=monotonic_seconds)
    with pytest.raises(KeyRefused, match="context"):
        await ClientWrapping(vault, "transit", "backups-derived").new()
    wrapping = ClientWrapping(_client(sealing, tmp_path, "open"), "transit", SEAL_KEY)
    with pytest.raises(KeyRefused):
        await wrapping.unwrap("vault:v1:" + "A" * 80)
    with pytest.raises(KeyRefused, match="no key in base64"):
        _key("é")
