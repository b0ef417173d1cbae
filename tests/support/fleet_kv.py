"""Vault's KV v2 in memory: for its faults, and for its clock, which no real one gives on demand.

What a real OpenBao does is tested with one (``tests/certificates/issuers/test_shared.py``).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sidecar.certificates.issuers.lease import Leases, OrderLease
from sidecar.common.clock import monotonic_seconds
from sidecar.vault.answers import KvSecret
from sidecar.vault.errors import VaultConflict, VaultNotFound, VaultUnreachable

NOW = 1_000_000.0


class MemoryKv:
    """Versioned entries with check-and-set. ``away`` is a Vault that nobody reaches."""

    def __init__(self) -> None:
        self.now = NOW
        self.away = False
        self.loses_answers = False
        """Writes are made, and who makes them does not learn it."""
        self.reads = 0
        self.times = 0
        """How often its clock was asked for."""
        self.entries: dict[str, KvSecret] = {}
        self.deleted: set[str] = set()
        self.on_write: Callable[[], None] = lambda: None
        """Called before a write is judged: another writer's moment."""

    def put(self, path: str, data: Mapping[str, Any]) -> int:
        """Write an entry as somebody else does, and return its version."""
        self.deleted.discard(path)
        before = self.entries.get(path)
        version = 1 if before is None else before.version + 1
        self.entries[path] = KvSecret(data, version, self.now)
        return version

    def data(self, path: str) -> Mapping[str, Any]:
        """Return what stands there."""
        return self.entries[path].data

    async def read_kv(self, mount: str, path: str) -> KvSecret:
        self.reads += 1
        await self._answer(path)
        if path not in self.entries or path in self.deleted:
            raise VaultNotFound(f"{mount}/{path}: nothing exists there")
        return self.entries[path]

    async def read_kv_latest(self, _mount: str, path: str) -> tuple[KvSecret | None, int]:
        self.reads += 1
        await self._answer(path)
        entry = self.entries.get(path)
        there = entry if path not in self.deleted else None
        return there, 0 if entry is None else entry.version

    async def read_kv_version(self, _mount: str, path: str) -> int:
        await self._answer(path)
        return self.entries[path].version if path in self.entries else 0

    async def write_kv(self, _mount: str, path: str, data: Mapping[str, Any], cas: int) -> int:
        await self._answer(path)
        self.on_write()
        if cas != (self.entries[path].version if path in self.entries else 0):
            raise VaultConflict(path)
        version = self.put(path, data)
        if self.loses_answers:
            raise VaultUnreachable(f"{path}: no answer in time")
        return version

    async def read_time(self) -> float:
        self.times += 1
        await self._answer("time")
        return self.now

    def with_lanes(self, _name: str) -> "MemoryKv":
        return self

    async def list_kv(self, _mount: str, prefix: str) -> list[str]:
        await self._answer(prefix)
        below = [path.removeprefix(f"{prefix}/") for path in self.entries.keys() - self.deleted]
        return sorted(name for name in below if "/" not in name)

    async def _answer(self, path: str) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise VaultUnreachable(f"{path}: cannot be reached")


async def take_lease(leases: Leases, path: str) -> OrderLease | None:
    """Look at a lease once, and claim it if it is free."""
    free = await leases.watch(path, monotonic_seconds).look()
    return None if free is None else await leases.claim(free)
