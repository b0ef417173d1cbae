"""A process with many simulated sidecars. Usage: python -m bench.scale.fleet CONFIG FIRST COUNT.

Each line of its input is a command, ``{"do": ...}``; each gets one line of JSON as its answer:

- ``start``: all sidecars start at once.
- ``ask`` (``names``), ``renew`` (``name``): done in all of them in the same iteration of the loop.
- ``report``: the events since the last report, and the resident memory.

It ends with its input.
"""

import asyncio
import json
import logging
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from bench.kernel import rss_mb
from bench.scale.simulated import Event, SimulatedSidecar
from sidecar.config import load_config


class FleetProcess:
    """The sidecars ``first`` to ``first + count - 1``."""

    def __init__(self, config: Path, first: int, count: int) -> None:
        self._events: list[Event] = []
        loaded = load_config(config)
        self._sidecars = [
            SimulatedSidecar(loaded, first + number, self._events.append) for number in range(count)
        ]
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def do(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command, and return its answer."""
        match command:
            case {"do": "start"}:
                self._tasks = [asyncio.create_task(each.run(self._stop)) for each in self._sidecars]
            case {"do": "ask", "names": names}:
                for each in self._sidecars:
                    for name in names:
                        each.ask(name)
            case {"do": "renew", "name": name}:
                for each in self._sidecars:
                    each.renew(name)
            case {"do": "report"}:
                events, self._events[:] = list(self._events), []
                ended = [task for task in self._tasks if task.done()]
                for task in ended:
                    task.result()
                pid = os.getpid()
                return {
                    "events": events,
                    "rss_mb": round(rss_mb(pid), 1),
                    "cpu_seconds": round(time.process_time(), 3),
                }
        return {}

    async def run(self) -> None:
        """Take commands until the input ends."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=2**26)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            print(json.dumps(self.do(json.loads(line))), flush=True)
        self._stop.set()
        await asyncio.gather(*self._tasks)


def raise_limits() -> None:
    """Allow as many open files as the system lets us: each sidecar has its connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _main(config: str, first: str, count: str) -> None:
    await FleetProcess(Path(config), int(first), int(count)).run()


if __name__ == "__main__":
    raise_limits()
    logging.basicConfig(level=logging.CRITICAL)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(*sys.argv[1:4]))
