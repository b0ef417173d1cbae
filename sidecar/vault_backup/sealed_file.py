"""An archive of entries: sealed into a file, and read from one, by a transit key of a Vault."""

import binascii
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sidecar.common.errors import Fault
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultRejected
from sidecar.vault_backup.entries import (
    StoredEntry,
    entry_line,
    first_line,
    last_line,
    read_entries,
)
from workload.backups.archive import ArchiveWriter, opened_chunks, read_archive_header
from workload.backups.errors import KeyRefused
from workload.backups.expectations import Expectations
from workload.backups.header import ArchiveLabel
from workload.backups.keys import BackupKeys
from workload.backups.output_file import OutputFile


class ClientWrapping:
    """A transit key by the sidecar's client of Vault; a ``KeyWrapping`` of archives."""

    def __init__(self, vault: VaultClient, mount: str, key: str) -> None:
        self._vault = vault
        self._mount = mount
        self._key = key

    async def new(self) -> tuple[bytearray, str]:
        """Return a new key, and the same wrapped. Raises ``KeyRefused`` and ``VaultFault``."""
        try:
            text, wrapped = await self._vault.new_data_key(self._mount, self._key)
        except VaultRejected as fault:
            raise KeyRefused(str(fault)) from None
        return _key(text), wrapped

    async def unwrap(self, wrapped: str) -> bytearray:
        """Return the key that was wrapped. Raises ``KeyRefused`` and ``VaultFault``."""
        try:
            return _key(await self._vault.open_data_key(self._mount, self._key, wrapped))
        except VaultRejected as fault:
            raise KeyRefused(str(fault)) from None


class EntryWriter:
    """Counts entries, and seals them."""

    def __init__(self, archive: ArchiveWriter) -> None:
        self._archive = archive
        self._count = 0
        archive.write(first_line())

    def add(self, entry: StoredEntry) -> None:
        """Seal one more entry."""
        self._archive.write(entry_line(entry))
        self._count += 1

    def end(self) -> None:
        """Seal the end."""
        self._archive.write(last_line(self._count))
        self._archive.end()


@asynccontextmanager
async def sealed_entries(
    path: Path, keys: BackupKeys, label: ArchiveLabel, *, overwrite: bool
) -> AsyncIterator[EntryWriter]:
    """Yield what takes entries; the file appears if the block ends well.

    Raises ``BackupFault`` and ``VaultFault``.
    """
    with OutputFile(path, overwrite=overwrite) as file:
        data_key, wrapped = await keys.new(label)
        writer = EntryWriter(ArchiveWriter(file.write, label, data_key, wrapped))
        yield writer
        writer.end()
        file.commit()


class EntryArchive:
    """The archive in an open file, which is read as often as it is asked for."""

    def __init__(self, file: io.FileIO, keys: BackupKeys, expected: Expectations) -> None:
        self._file = file
        self._keys = keys
        self._expected = expected

    async def entries(self) -> Iterator[StoredEntry]:
        """Return the entries; the archive is whole when the last one was yielded.

        Raises ``ArchiveAltered``, ``ArchiveUnexpected``, ``EntryFault`` and ``VaultFault``.
        """
        self._file.seek(0)
        header = read_archive_header(self._file)
        data_key = await self._keys.unwrap(header)
        return read_entries(opened_chunks(self._file, header, data_key, self._expected.require))


@contextmanager
def opened_archive(path: Path, keys: BackupKeys, expected: Expectations) -> Iterator[EntryArchive]:
    """Yield the archive in a file. Raises ``Fault`` for one that can't be read."""
    try:
        with io.FileIO(path) as file:
            yield EntryArchive(file, keys, expected)
    except OSError as exc:
        raise Fault(f"{path} can't be read: {exc.strerror}") from None


def _key(text: str) -> bytearray:
    try:
        return bytearray(binascii.a2b_base64(text, strict_mode=True))
    except ValueError:
        raise KeyRefused("Vault's answer has no key in base64") from None
