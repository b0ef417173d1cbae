"""What is done to data keys beside using them: rotated, retired, shredded, wrapped again.

Nothing here is cached. Another process sees what was done when it refreshes, after
``ttl_seconds`` at most while the key store can be reached, and never uses a key longer than
``max_stale_seconds``.
"""

from collections.abc import AsyncGenerator
from typing import NamedTuple

from workload.clock import Now, wall_seconds
from workload.encryption.creation import KeyCreation, KeyWrapper
from workload.encryption.errors import FieldInputFault
from workload.encryption.key_store import WrappedKeyStore
from workload.encryption.places import KeyScope
from workload.encryption.versions import wrapping_context
from workload.settings import FieldKeySettings

BATCH = 100


class RewrapProgress(NamedTuple):
    """How far a run has come. ``cursor`` continues it."""

    cursor: tuple[KeyScope, int]
    rewrapped: int
    changed_meanwhile: int


class KeyAdmin:
    """Raises ``FieldKeysAway``, ``FieldKeysDestroyed`` and ``VaultCallFault``."""

    def __init__(
        self,
        store: WrappedKeyStore,
        wrapper: KeyWrapper,
        settings: FieldKeySettings,
        *,
        wall: Now = wall_seconds,
    ) -> None:
        self._creation = KeyCreation(store, wrapper, settings, wall)
        self._store = store
        self._wrapper = wrapper
        self._wall = wall

    async def rotate(self, scope: KeyScope) -> int:
        """Make the next version before it is due, and return it.

        It writes after ``publish_ahead_seconds``. Where one waits for that already, it is
        returned and no other is made.
        """
        plan = await self._creation.plan(scope)
        if not plan.is_pending:
            plan = await self._creation.make_next(scope, plan)
        return plan.newest

    async def retire(self, scope: KeyScope, version: int) -> bool:
        """Destroy an old version, when nothing is sealed under it any more.

        What still is, is lost: count first (``sql_reencryption.remaining``). False where the
        version was not there. Raises ``FieldInputFault`` for the one that writes, and newer ones.
        """
        plan = await self._creation.plan(scope)
        if version >= plan.writing:
            raise FieldInputFault("only a version that writes no longer can be retired")
        return await self._store.destroy(scope, version)

    async def shred(self, scope: KeyScope) -> None:
        """Destroy all keys of a scope for good. Its values, wherever copied, stay sealed.

        No key is ever made for this scope again. A backup of the key store still has the
        wrapped keys: docs/field-encryption.md says what to do about it.
        """
        await self._store.destroy_all(scope, self._wall())

    async def shred_tenant(self, tenant: str) -> int:
        """Shred every scope of a tenant, and return how many there were.

        Delete what could make new ones first: the tenant's access.
        """
        count = 0
        while found := await self._store.scopes(tenant):
            for scope in found:
                await self.shred(scope)
            count += len(found)
        return count

    async def rewrap(
        self, after: tuple[KeyScope, int] | None = None
    ) -> AsyncGenerator[RewrapProgress, None]:
        """Wrap every data key under the newest version of its KEK, in batches.

        For after ``vault write -f transit/keys/<kek>/rotate``. The data keys stay as they are,
        and nothing is sealed again. Values of ``after`` continue an interrupted run; to begin
        again does no harm.
        """
        while records := await self._store.walk(after, BATCH):
            done = lost = 0
            for record in records:
                if record.wrapped is None:
                    continue
                context = wrapping_context(record.scope, record.version)
                wrapped = await self._wrapper.rewrap(record.kek, record.wrapped, context)
                if await self._store.replace(record, wrapped):
                    done += 1
                else:
                    lost += 1
            after = (records[-1].scope, records[-1].version)
            yield RewrapProgress(after, done, lost)
