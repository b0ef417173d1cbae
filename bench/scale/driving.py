"""Drives a fleet in its processes, and gathers what its sidecars noticed."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.scale.simulated import Event

_LOOK_SECONDS = 0.25
_MAX_LINE_BYTES = 2**26
_STOP_SECONDS = 60.0


class Fleet:
    """The processes of a fleet, and every event so far, in the order of their times."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.events: list[Event] = []
        self.rss_mb = 0.0
        self.cpu_seconds = 0.0
        self._processes: list[asyncio.subprocess.Process] = []

    async def start(self, config: Path, processes: int) -> None:
        """Start the processes; no sidecar runs yet."""
        share = -(-self.count // processes)
        for first in range(0, self.count, share):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.scale.fleet"),
                *(str(config), str(first), str(min(share, self.count - first))),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_MAX_LINE_BYTES,
            )
            self._processes.append(process)
        await self.report()  # answered once everything is imported

    async def stop(self) -> None:
        """End the processes."""
        for each in self._processes:
            if each.stdin is not None:
                each.stdin.close()
        for each in self._processes:
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await each.wait()
            except TimeoutError:
                each.kill()
                await each.wait()

    async def tell(self, **command: object) -> list[dict[str, Any]]:
        """Send one command to every process, and return their answers."""
        for each in self._processes:
            assert each.stdin is not None
            each.stdin.write(json.dumps(command).encode() + b"\n")
        return list(await asyncio.gather(*map(self._answer, self._processes)))

    async def _answer(self, process: asyncio.subprocess.Process) -> dict[str, Any]:
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            raise SystemExit("a process of the fleet ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def report(self) -> None:
        """Gather the events since the last report, and memory and CPU of all processes."""
        answers = await self.tell(do="report")
        fresh = [Event(*each) for answer in answers for each in answer["events"]]
        self.events += sorted(fresh)
        self.rss_mb = sum(answer["rss_mb"] for answer in answers)
        self.cpu_seconds = sum(answer["cpu_seconds"] for answer in answers)

    def first_since(self, since: float, fits: Callable[[Event], bool]) -> list[float]:
        """Return, for each sidecar that noticed something, the seconds until it first did."""
        found: dict[int, float] = {}
        for event in self.events:
            if event.at >= since and fits(event):
                found.setdefault(event.sidecar, event.at - since)
        return list(found.values())

    async def until_all(
        self,
        since: float,
        fits: Callable[[Event], bool],
        timeout_seconds: float,
        wanted: int | None = None,
    ) -> list[float]:
        """Wait until all, or ``wanted`` sidecars, noticed something; return after how many seconds.

        Those that did not in time are missing in what is returned.
        """
        count = self.count if wanted is None else wanted
        deadline = time.monotonic() + timeout_seconds
        while True:
            await self.report()
            found = self.first_since(since, fits)
            if len(found) >= count or time.monotonic() > deadline:
                return found
            await asyncio.sleep(_LOOK_SECONDS)


def kinds(*wanted: str) -> Callable[[Event], bool]:
    """Return what picks events of these kinds."""

    def fits(event: Event) -> bool:
        return event.kind in wanted

    return fits


def faults(events: Sequence[Event]) -> list[str]:
    """Return why sidecars could not start, each reason once."""
    return sorted({event.what for event in events if event.kind == "failed"})
