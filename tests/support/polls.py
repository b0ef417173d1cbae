"""Polls one at a time: the loop's sleep ends when a test says so."""

import asyncio
from typing import Any


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
