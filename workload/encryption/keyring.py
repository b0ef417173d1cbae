"""The data keys of a process: asked for by scope, held in memory for a time, refreshed.

After ``ttl_seconds`` the key store and Vault are asked again. Where one of them is away, what is
in memory is used on until ``max_stale_seconds`` after Vault confirmed it, and then wiped; where
Vault refuses, or the keys were destroyed, it is wiped at once.
"""

import asyncio
import itertools
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass

from workload.backoff import Backoff
from workload.clock import Now, monotonic_seconds, wall_seconds
from workload.encryption.creation import KeyCreation, KeyWrapper
from workload.encryption.data_key import FieldKey
from workload.encryption.errors import FieldKeysAway, FieldKeysMissing
from workload.encryption.key_store import WrappedKeyStore
from workload.encryption.places import FieldColumn, KeyScope, RowId
from workload.encryption.scope_keys import ScopeKeys
from workload.encryption.versions import VersionPlan, wrapping_context
from workload.errors import Fault
from workload.settings import FieldKeySettings

_log = logging.getLogger("workload.encryption")
RETRIES = Backoff(1.0, 30.0)
"""The pauses in which nobody is asked, after an outage."""
REFRESH_SECONDS = 30.0
"""How long one refresh may take: of a database that hangs nothing else has a bound."""


@dataclass(slots=True)
class _Entry:
    keys: ScopeKeys
    fresh_until: float
    used: int


class Keyring:
    """Loads keys. For one event loop; ``BlockingKeyring`` is for threads."""

    def __init__(
        self,
        store: WrappedKeyStore,
        wrapper: KeyWrapper,
        settings: FieldKeySettings,
        *,
        wall: Now = wall_seconds,
        monotonic: Now = monotonic_seconds,
    ) -> None:
        self._creation = KeyCreation(store, wrapper, settings, wall)
        self._wrapper = wrapper
        self._settings = settings
        self._monotonic = monotonic
        self._entries: dict[KeyScope, _Entry] = {}
        self._loading: dict[KeyScope, asyncio.Task[ScopeKeys]] = {}
        self._ticks = itertools.count()
        self._outages = 0
        self._no_call_before = float("-inf")

    async def load(self, scope: KeyScope) -> ScopeKeys:
        """Return the keys of a scope, making its first one where there is none.

        Raises ``FieldKeysAway``, ``FieldKeysDestroyed``, ``FieldKeysMissing`` and
        ``VaultCallFault`` where Vault refuses.
        """
        found = self.cached(scope)
        if found is not None:
            return found
        if self._monotonic() < self._no_call_before:
            away = FieldKeysAway("Vault or the table of keys is away, and asked again in a moment")
            return self._stale(scope, away)
        task = self._loading.get(scope)
        if task is None:
            task = asyncio.create_task(self._refresh(scope))
            self._loading[scope] = task
            task.add_done_callback(lambda done: self._loaded(scope, done))
        try:
            return await asyncio.shield(task)
        except FieldKeysAway as fault:
            return self._stale(scope, fault)

    def cached(self, scope: KeyScope) -> ScopeKeys | None:
        """Return the keys of a scope where they are in memory and fresh. For any thread."""
        entry, now = self._entries.get(scope), self._monotonic()
        if entry is None or now >= entry.fresh_until or not entry.keys.is_usable(now):
            return None
        entry.used = next(self._ticks)
        return entry.keys

    def loaded(self, scope: KeyScope) -> ScopeKeys:
        """Return keys that are in memory, fresh or not, without waiting: for ORM attributes.

        Raises ``FieldKeysAway`` where they are not, or past their time.
        """
        return self._stale(scope)

    async def seal(self, scope: KeyScope, value: bytes, column: FieldColumn, row: RowId) -> bytes:
        """Load the keys and seal one value."""
        return (await self.load(scope)).seal(value, column, row)

    async def open(self, scope: KeyScope, sealed: bytes, column: FieldColumn, row: RowId) -> bytes:
        """Load the keys and open one value."""
        return (await self.load(scope)).open(sealed, column, row)

    def forget(self, scope: KeyScope) -> None:
        """Wipe the keys of a scope; who holds them gets ``FieldKeysAway``."""
        entry = self._entries.pop(scope, None)
        if entry is not None:
            entry.keys.wipe()

    async def aclose(self) -> None:
        """Wipe everything."""
        tasks = list(self._loading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for scope in list(self._entries):
            self.forget(scope)

    async def _refresh(self, scope: KeyScope) -> ScopeKeys:
        started = self._monotonic()
        try:
            async with asyncio.timeout(REFRESH_SECONDS):
                plan = await self._due(scope, await self._creation.plan(scope))
                keys = await self._unwrapped_or_held(scope, plan)
        except TimeoutError:
            raise self._outage(f"no answer within {REFRESH_SECONDS:g} s") from None
        except Fault as fault:
            if not fault.retryable:
                self.forget(scope)
                raise
            raise self._outage(str(fault)) from None
        self._outages = 0
        return self._keep(scope, keys, plan.writing, started)

    def _outage(self, why: str) -> FieldKeysAway:
        """Ask nobody for a while; returns what to raise."""
        self._outages += 1
        pause = RETRIES.pause_seconds(self._outages, random.random())  # noqa: S311 - jitter
        self._no_call_before = self._monotonic() + pause
        _log.warning("data keys can't be refreshed, next try in %.0f s: %s", pause, why)
        return FieldKeysAway(f"the data keys can't be loaded: {why}")

    async def _due(self, scope: KeyScope, plan: VersionPlan) -> VersionPlan:
        """Make the version that is due; where there is an older one, a failure is no fault."""
        if not plan.due:
            return plan
        if not self._settings.may_create:
            if plan.live:
                return plan
            raise FieldKeysMissing("this scope has no data key, and may_create is off")
        try:
            return await self._creation.make_next(scope, plan)
        except Fault as fault:
            if not plan.live:
                raise
            _log.warning("the next data key is due and can't be made: %s", fault)
            return plan

    async def _unwrapped_or_held(self, scope: KeyScope, plan: VersionPlan) -> dict[int, FieldKey]:
        """Return the keys by version, those in memory as they are.

        Meanwhile they may have been evicted, so that whoever has them may wipe them at any time,
        or wiped: then every one is unwrapped.
        """
        entry = self._entries.get(scope)
        held = {} if entry is None else entry.keys.held()
        keys = await self._unwrapped(scope, plan, held)
        is_ours = self._entries.get(scope) is entry
        if is_ours and not any(key.is_wiped for key in keys.values()):
            return keys
        return await self._unwrapped(scope, plan, {})

    async def _unwrapped(
        self, scope: KeyScope, plan: VersionPlan, held: Mapping[int, FieldKey]
    ) -> dict[int, FieldKey]:
        """Return the keys by version. The newest is always unwrapped: Vault still lets us."""
        keys: dict[int, FieldKey] = {}
        for record in plan.live:
            old = held.get(record.version)
            if old is None or record.version == plan.newest:
                context = wrapping_context(scope, record.version)
                material = await self._wrapper.unwrap(record.kek, record.wrapped, context)
                if old is not None and old.is_of(material):
                    material[:] = bytes(len(material))
                    keys[record.version] = old
                else:
                    keys[record.version] = FieldKey(record.version, material)
            else:
                keys[record.version] = old
        return keys

    def _keep(
        self, scope: KeyScope, keys: dict[int, FieldKey], writing: int, started: float
    ) -> ScopeKeys:
        entry = self._entries.get(scope)
        if entry is None:
            while len(self._entries) >= self._settings.max_scopes:
                # Dropped, not wiped: who is using these keys may end; then they wipe themselves.
                least = min(self._entries, key=lambda each: self._entries[each].used)
                del self._entries[least]
            entry = _Entry(ScopeKeys(scope, self._monotonic), 0.0, 0)
            self._entries[scope] = entry
        gone = [key for key in entry.keys.held().values() if keys.get(key.version) is not key]
        entry.keys.update(keys, writing, started + self._settings.max_stale_seconds)
        entry.fresh_until = started + self._settings.ttl_seconds
        entry.used = next(self._ticks)
        for key in gone:
            key.wipe()
        return entry.keys

    def _stale(self, scope: KeyScope, fault: FieldKeysAway | None = None) -> ScopeKeys:
        entry = self._entries.get(scope)
        if entry is not None and entry.keys.is_usable(self._monotonic()):
            entry.used = next(self._ticks)
            return entry.keys
        self.forget(scope)
        raise fault or FieldKeysAway("the data keys of this scope are not in memory; load them")

    def _loaded(self, scope: KeyScope, task: "asyncio.Task[ScopeKeys]") -> None:
        self._loading.pop(scope, None)
        if not task.cancelled():
            task.exception()  # whoever waited has it; if nobody does any more, it was logged
