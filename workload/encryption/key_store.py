"""What the keyring needs of the place that holds wrapped keys: a table beside the data."""

from collections.abc import Sequence
from typing import Protocol

from workload.encryption.places import KeyScope
from workload.encryption.versions import WrappedKey


class WrappedKeyStore(Protocol):
    """Raises ``FieldKeysAway`` where it can't be reached, and no other."""

    async def read(self, scope: KeyScope) -> Sequence[WrappedKey]:
        """Return every record of a scope, the destroyed ones too."""
        ...

    async def add(self, key: WrappedKey) -> bool:
        """Write a record; false where the scope has that version already."""
        ...

    async def replace(self, key: WrappedKey, wrapped: str) -> bool:
        """Write another wrapping of a key; false where the record is not as given any more."""
        ...

    async def destroy(self, scope: KeyScope, version: int) -> bool:
        """Delete the key of one record; false where there was none."""
        ...

    async def destroy_all(self, scope: KeyScope, now: float) -> None:
        """Delete the keys of a scope, and close it with a destroyed record: in one transaction."""
        ...

    async def scopes(self, tenant: str) -> Sequence[KeyScope]:
        """Return the scopes of a tenant that are not destroyed yet."""
        ...

    async def walk(self, after: tuple[KeyScope, int] | None, limit: int) -> Sequence[WrappedKey]:
        """Return live records of all scopes in a fixed order, after one of them."""
        ...
