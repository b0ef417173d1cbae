"""Secrets of Vault for a service (SECURITY-MODEL §8): read, followed, leased."""

import asyncio
import random
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar

from workload.clock import monotonic_seconds
from workload.refresh import RefreshLoop
from workload.secrets.database import DatabaseCredentials
from workload.secrets.entry import EntryVersion, FollowedEntry, read_entry
from workload.secrets.errors import SecretsFault
from workload.settings import DatabaseRole, KvEntry, VaultServer
from workload.vault.client import VaultApi

MAX_FOLLOWED = 256
DAY_SECONDS = 86_400.0
Kept = TypeVar("Kept", bound=RefreshLoop)


class Secrets:
    """One service's secrets, for the length of a block; at its end what was leased is revoked.

    Every call raises ``Fault`` where Vault does not give what is asked for: a service that can't
    get its secrets does not start.
    """

    def __init__(self, server: VaultServer) -> None:
        self._vault = VaultApi(server, monotonic_seconds)
        self._stack = AsyncExitStack()
        self._followed: dict[tuple[object, ...], RefreshLoop] = {}
        self._lock = asyncio.Lock()

    async def read(self, entry: KvEntry) -> EntryVersion:
        """Read an entry once."""
        return await read_entry(self._vault, entry, monotonic_seconds)

    async def follow(
        self, entry: KvEntry, *, poll_seconds: float = 60.0, max_stale_seconds: float = DAY_SECONDS
    ) -> FollowedEntry:
        """Read an entry, and again every ``poll_seconds``, until the block ends.

        Asked for again with the same settings, it is the same object.
        """
        key = (entry, poll_seconds, max_stale_seconds)
        followed = FollowedEntry(
            self._vault,
            entry,
            monotonic_seconds,
            random.random,
            poll_seconds=poll_seconds,
            max_stale_seconds=max_stale_seconds,
        )
        return await self._keep(key, followed)

    async def database(
        self, role: DatabaseRole, *, overlap_seconds: float = 300.0
    ) -> DatabaseCredentials:
        """Obtain a database user, and keep its lease until the block ends.

        ``overlap_seconds`` is how long a user that was replaced still lives: longer than a
        connection is kept.
        """
        credentials = DatabaseCredentials(
            self._vault, role, monotonic_seconds, random.random, overlap_seconds=overlap_seconds
        )
        return await self._keep((role, overlap_seconds), credentials)

    async def __aenter__(self) -> Self:
        self._stack.callback(self._vault.forget)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._followed.clear()
        await self._stack.aclose()

    async def _keep(self, key: tuple[object, ...], loop: Kept) -> Kept:
        async with self._lock:
            there = self._followed.get(key)
            if isinstance(there, type(loop)):
                return there
            if len(self._followed) >= MAX_FOLLOWED:
                raise SecretsFault(f"{MAX_FOLLOWED} secrets are followed already")
            await loop.load()
            if isinstance(loop, DatabaseCredentials):
                self._stack.push_async_callback(loop.aclose)
            self._stack.push_async_callback(_end, asyncio.create_task(loop.run()))
            self._followed[key] = loop
            return loop


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
