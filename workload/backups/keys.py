"""The data keys of archives, wrapped by a key of Vault's transit engine that is theirs alone.

The label's HMAC binds a data key to its archive, so no context is sent, and whoever seals needs
``datakey/plaintext`` alone: a host that makes backups can open none.
"""

from typing import Protocol

from workload.backups.errors import ArchiveUnexpected, BackupFault, KeyRefused
from workload.backups.header import ArchiveHeader, ArchiveLabel


class KeyWrapping(Protocol):
    """One transit key. Raises ``KeyRefused`` where Vault takes a request for invalid."""

    async def new(self) -> tuple[bytearray, str]:
        """Return a new key of 256 bits, and the same wrapped."""

    async def unwrap(self, wrapped: str) -> bytearray:
        """Return the key that was wrapped."""


class KeyRewrapping(KeyWrapping, Protocol):
    """One transit key, for who rotates archives."""

    async def rewrap(self, wrapped: str) -> str:
        """Return a wrapped key, wrapped by the newest version."""


class BackupKeys:
    """The keys of archives that one transit key wraps. Raises what ``wrapping`` raises, too."""

    def __init__(self, wrapping: KeyWrapping, mount: str, key: str) -> None:
        self._wrapping = wrapping
        self.place = f"{mount}/{key}"
        """The key: ``<mount>/<key>``."""

    async def new(self, label: ArchiveLabel) -> tuple[bytearray, str]:
        """Return a new data key, and the same wrapped."""
        if label.place != self.place:
            raise BackupFault(f"the label says {label.place}, and the key is {self.place}")
        try:
            return await self._wrapping.new()
        except KeyRefused as fault:
            raise BackupFault(
                f"{fault}; is {self.place} there, of type aes256-gcm96 and not derived?"
            ) from None

    async def unwrap(self, header: ArchiveHeader) -> bytearray:
        """Return the data key of an archive. Raises ``ArchiveUnexpected``."""
        self.require_own(header)
        try:
            return await self._wrapping.unwrap(header.wrapped)
        except KeyRefused:
            raise ArchiveUnexpected(self.not_unwrapped(header)) from None

    def require_own(self, header: ArchiveHeader) -> None:
        """Refuse an archive that names another key: its author may be who has that one."""
        if header.label.place != self.place:
            raise ArchiveUnexpected(
                f"the archive says that {header.label.place} wrapped its key, and {self.place} was "
                "asked for: name the other one with --mount and --key if you trust who has it"
            )

    def not_unwrapped(self, header: ArchiveHeader) -> str:
        """Say why Vault may have refused an archive's key."""
        return (
            f"{self.place} does not unwrap the key of this archive, which says version "
            f"{header.key_version}: the key was deleted or made anew, that version is below "
            "min_decryption_version, or bytes 512 to 1023 of the archive were altered"
        )


class RotatedKeys(BackupKeys):
    """The same, for who rotates: with a policy that opens nothing."""

    def __init__(self, wrapping: KeyRewrapping, mount: str, key: str) -> None:
        super().__init__(wrapping, mount, key)
        self._rewrapping = wrapping

    async def rewrap(self, header: ArchiveHeader) -> str:
        """Return the data key wrapped by the newest version of the transit key."""
        self.require_own(header)
        try:
            return await self._rewrapping.rewrap(header.wrapped)
        except KeyRefused:
            raise ArchiveUnexpected(self.not_unwrapped(header)) from None
