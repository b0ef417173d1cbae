"""Makes the next version of a data key; of several processes that try, one wins."""

from typing import Protocol

from workload.clock import Now
from workload.encryption.errors import FieldInputFault, FieldKeysDestroyed
from workload.encryption.key_store import WrappedKeyStore
from workload.encryption.places import KeyScope
from workload.encryption.versions import VersionPlan, WrappedKey, plan_versions, wrapping_context
from workload.settings import FieldKeySettings

_TENANT_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_MAX_TENANT = 64


class KeyWrapper(Protocol):
    """What is needed of ``workload.vault.transit``. Raises ``VaultCallFault``."""

    async def new_data_key(self, kek: str, context: bytes) -> tuple[bytearray, str]:
        """Return a new key, and the same wrapped."""
        ...

    async def unwrap(self, kek: str, wrapped: str, context: bytes) -> bytearray:
        """Return the key that was wrapped."""
        ...

    async def rewrap(self, kek: str, wrapped: str, context: bytes) -> str:
        """Return a key wrapped under the newest version of its KEK."""
        ...


class KeyCreation:
    """Plans and makes versions."""

    def __init__(
        self, store: WrappedKeyStore, wrapper: KeyWrapper, settings: FieldKeySettings, wall: Now
    ) -> None:
        self._store = store
        self._wrapper = wrapper
        self._settings = settings
        self._wall = wall

    async def plan(self, scope: KeyScope) -> VersionPlan:
        """Say what holds of a scope now. Raises ``FieldKeysDestroyed`` and ``FieldKeysAway``."""
        settings = self._settings
        plan = plan_versions(
            await self._store.read(scope),
            self._wall(),
            settings.rotate_after_seconds,
            settings.publish_ahead_seconds,
        )
        if plan.destroyed:
            raise FieldKeysDestroyed("the data keys of this scope were destroyed")
        return plan

    async def make_next(self, scope: KeyScope, plan: VersionPlan) -> VersionPlan:
        """Make the next version, or take what another process made. Raises ``VaultCallFault``."""
        kek = self.kek_of(scope)
        version = plan.newest + 1
        context = wrapping_context(scope, version)
        material, wrapped = await self._wrapper.new_data_key(kek, context)
        material[:] = bytes(len(material))  # it is unwrapped like every other one
        await self._store.add(WrappedKey(scope, version, kek, wrapped, self._wall()))
        return await self.plan(scope)

    def kek_of(self, scope: KeyScope) -> str:
        """Return the name of the KEK that wraps a scope's new keys."""
        if not self._settings.kek_per_tenant:
            return self._settings.kek
        if len(scope.tenant) > _MAX_TENANT or not _TENANT_CHARACTERS.issuperset(scope.tenant):
            raise FieldInputFault(
                "with kek_per_tenant a tenant is named by letters, digits, - and _ alone"
            )
        return f"{self._settings.kek}-{scope.tenant}"
