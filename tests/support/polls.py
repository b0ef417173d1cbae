"""Polls one at a time: the loop's sleep ends when a test says so."""

import asyncio
from typing import Any

from sidecar.certificates.on_demand.domains import Registration, Unresolved
from sidecar.certificates.on_demand.resolved_registry import ResolvedRegistry


class Polls:
    """A poll a step, and what was told of them."""

    def __init__(self) -> None:
        self.changes = 0
        self._step = asyncio.Event()
        self._slept = asyncio.Event()

    async def sleep(self, _: float) -> None:
        self._slept.set()
        await self._step.wait()
        self._step.clear()

    async def on_change(self) -> None:
        self.changes += 1

    async def poll(self) -> None:
        await self._slept.wait()
        self._slept.clear()
        self._step.set()
        await self._slept.wait()


async def running(registry: Any) -> asyncio.Task[None]:
    await registry.start()
    return asyncio.create_task(registry.run())


async def settle(registry: ResolvedRegistry, name: str) -> Registration | None:
    """Return what is found of a name in the end, looked up if it has to be."""
    found = registry.find(name)
    if isinstance(found, Unresolved):
        await registry.resolve(name)
        found = registry.find(name)
    assert not isinstance(found, Unresolved)
    return found
