"""Tasks by key, of which a reload ends some and begins others; the rest run on untouched."""

import asyncio
from collections.abc import Hashable, Mapping
from typing import Any

from sidecar.common.current_task import Run


class KeyedTasks:
    """Runs one task for each key of what was set last.

    What one of them raises ends ``run``, as an owner's own task would.
    """

    def __init__(self, wanted: Mapping[Hashable, Run] | None = None) -> None:
        self._wanted: dict[Hashable, Run] = dict(wanted or {})
        self._changed = asyncio.Event()

    def use(self, wanted: Mapping[Hashable, Run]) -> None:
        """Run these: the tasks of keys that are there already go on, those of others end."""
        self._wanted = dict(wanted)
        self._changed.set()

    async def run(self) -> None:
        """Run what was set, and whatever is set later, until cancelled."""
        running: dict[Hashable, asyncio.Future[Any]] = {}
        try:
            while True:
                self._changed.clear()
                await _end([running.pop(key) for key in running.keys() - self._wanted.keys()])
                for key in self._wanted.keys() - running.keys():
                    running[key] = asyncio.ensure_future(self._wanted[key]())
                await self._wait([each for each in running.values() if not each.done()])
                for each in running.values():
                    if each.done():
                        each.result()
        finally:
            await _end(list(running.values()))

    async def _wait(self, running: list[asyncio.Future[Any]]) -> None:
        """Wait until one of the tasks has ended, or others are set."""
        changed: asyncio.Future[Any] = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({changed, *running}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            await asyncio.gather(changed, return_exceptions=True)


async def _end(tasks: list[asyncio.Future[Any]]) -> None:
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
