"""The data keys of archives, wrapped by a key of Vault's transit engine that is theirs alone.

The label's HMAC binds a data key to its archive, so no context is sent, and whoever seals needs
``datakey/plaintext`` alone: a host that makes backups can open none.
"""

from workload.backups.errors import ArchiveUnexpected, BackupFault
from workload.backups.header import ArchiveHeader, ArchiveLabel
from workload.vault.errors import VaultInvalid
from workload.vault.transit import Transit


class BackupKeys:
    """One transit key. Raises ``VaultCallFault`` too."""

    def __init__(self, transit: Transit, mount: str, key: str) -> None:
        self._transit = transit
        self._mount = mount
        self._key = key

    @property
    def place(self) -> str:
        """The key: ``<mount>/<key>``."""
        return f"{self._mount}/{self._key}"

    async def new(self, label: ArchiveLabel) -> tuple[bytearray, str]:
        """Return a new data key, and the same wrapped."""
        if label.place != self.place:
            raise BackupFault(f"the label says {label.place}, and the key is {self.place}")
        try:
            return await self._transit.new_unbound_data_key(self._key)
        except VaultInvalid as fault:
            raise BackupFault(
                f"{fault}; is {self.place} there, of type aes256-gcm96 and not derived?"
            ) from None

    async def unwrap(self, header: ArchiveHeader) -> bytearray:
        """Return the data key of an archive."""
        self._require_own(header)
        try:
            return await self._transit.unwrap(self._key, header.wrapped, b"")
        except VaultInvalid:
            raise ArchiveUnexpected(self._not_unwrapped(header)) from None

    async def rewrap(self, header: ArchiveHeader) -> str:
        """Return the data key wrapped by the newest version of the transit key."""
        self._require_own(header)
        try:
            return await self._transit.rewrap(self._key, header.wrapped, b"")
        except VaultInvalid:
            raise ArchiveUnexpected(self._not_unwrapped(header)) from None

    def _require_own(self, header: ArchiveHeader) -> None:
        """Refuse an archive that names another key: its author may be who has that one."""
        if header.label.place != self.place:
            raise ArchiveUnexpected(
                f"the archive says that {header.label.place} wrapped its key, and {self.place} was "
                "asked for: name the other one with --mount and --key if you trust who has it"
            )

    def _not_unwrapped(self, header: ArchiveHeader) -> str:
        return (
            f"{self.place} does not unwrap the key of this archive, which says version "
            f"{header.key_version}: the key was deleted or made anew, that version is below "
            "min_decryption_version, or bytes 512 to 1023 of the archive were altered"
        )
