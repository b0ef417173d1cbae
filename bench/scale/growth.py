"""What one sidecar's memory, CPU and calls come to, by the number of domains and of names.

One simulated sidecar in a process of its own, with a file of registered domains, a store in Vault
that has certificates of names already, and an Envoy that asks for each of them.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.certificates import self_signed
from bench.scale.calls import certificate_calls, summary
from bench.scale.driving import Fleet, kinds
from bench.scale.platform import TENANT, Platform, Size, domain_of, settings, write_files
from bench.scale.tap import Tap

_SECONDS = 600.0
_WRITERS = 8
_ASKED_AT_ONCE = 500
_ENTRY_TTL_SECONDS = 10.0
_OF_HELD = ("domain", "list of domains, with versions")


class Steps(NamedTuple):
    """The sizes that are measured, smallest first."""

    registered: Sequence[int]
    """Domains in a file."""
    stored: Sequence[int]
    """Names on demand whose certificates the fleet's store has."""
    listed: Sequence[int]
    """Entries below the prefix of a registry in Vault."""
    listed_seconds: float = 30.0
    """How long a registry is polled, every second."""


async def run(steps: Steps) -> dict[str, Any]:
    """Measure each step in a process of its own."""
    return {
        "registered": [await _one(registered=count) for count in steps.registered],
        "stored": [await _one(registered=count, stored=count) for count in steps.stored],
        "listed": [await _listed(count, steps.listed_seconds) for count in steps.listed],
    }


async def _one(registered: int, stored: int = 0) -> dict[str, Any]:
    async with _world(Size(1, 0)) as world:
        registry = world.folder / "domains.json"
        registry.write_text(
            json.dumps([{"domain": name, "tenant_id": TENANT} for name in _names(registered)])
        )
        source = {"source": "file", "path": str(registry), "poll_seconds": 3600}
        fleet = await world.sidecar(source)
        if stored:
            await asyncio.to_thread(_store, world.platform, stored)
        started = await _started(fleet)
        found = {"registered": registered, **started}
        if stored:
            found |= {"stored": stored, **await _asked(world, fleet, stored)}
        return found


async def _started(fleet: Fleet) -> dict[str, float]:
    rss, cpu, begun = fleet.rss_mb, fleet.cpu_seconds, time.time()
    await fleet.tell(do="start")
    if not await fleet.until_all(begun, kinds("ready"), _SECONDS):
        raise SystemExit("the sidecar did not start")
    return {
        "start_cpu_seconds": round(fleet.cpu_seconds - cpu, 2),
        "rss_mb": round(fleet.rss_mb, 1),
        "rss_mb_grown": round(fleet.rss_mb - rss, 1),
    }


async def _asked(world: "_World", fleet: Fleet, count: int) -> dict[str, Any]:
    """Have Envoy ask for every name, some hundred at a time."""
    rss, cpu, begun = fleet.rss_mb, fleet.cpu_seconds, time.time()
    names = list(_names(count))
    for start in range(0, count, _ASKED_AT_ONCE):
        several = names[start : start + _ASKED_AT_ONCE]
        await fleet.tell(do="ask", names=several)
        await _until_served(fleet, min(start + _ASKED_AT_ONCE, count))
    calls = summary(world.tap.calls, begun, time.time())
    return {
        "names_rss_kb_each": round((fleet.rss_mb - rss) * 1000 / count, 1),
        "names_cpu_ms_each": round((fleet.cpu_seconds - cpu) * 1000 / count, 2),
        "names_calls_each": round(certificate_calls(calls["kinds"]) / count, 2),
        "rss_mb_with_names": round(fleet.rss_mb, 1),
    }


async def _until_served(fleet: Fleet, count: int) -> None:
    deadline = time.monotonic() + _SECONDS
    while sum(event.kind.startswith("name ") for event in fleet.events) < count:
        if time.monotonic() > deadline:
            raise SystemExit("the names are not served")
        await asyncio.sleep(0.05)
        await fleet.report()


async def _listed(count: int, seconds: float) -> dict[str, Any]:
    """Let a sidecar poll a registry in Vault whose every name is held, and see what that asks."""
    async with _world(Size(1, count)) as world:
        registry = {"source": "vault_kv_prefix", "prefix": "domains", "poll_seconds": 1}
        fleet = await world.sidecar({**registry, "entry_ttl_seconds": _ENTRY_TTL_SECONDS})
        await asyncio.to_thread(_store, world.platform, count)
        await _started(fleet)
        await _asked(world, fleet, count)
        cpu, begun = fleet.cpu_seconds, time.time()
        await asyncio.sleep(seconds)
        await fleet.report()
        lists = [each for each in world.tap.calls if each.kind == "list of domains"]
        polls = [each for each in lists if each.at >= begun]
        held = [each for each in world.tap.calls if each.at >= begun and each.kind in _OF_HELD]
        return {
            "listed": count,
            "held_calls_a_minute": round(len(held) * 60 / seconds, 1),
            "held_bytes_a_minute": round(sum(each.received_bytes for each in held) * 60 / seconds),
            "list_bytes": max(each.received_bytes for each in lists),
            "lists_a_minute_at_1_s": round(len(polls) * 60 / seconds),
            "cpu_ms_a_second": round((fleet.cpu_seconds - cpu) * 1000 / seconds),
        }


class _World:
    """A platform, the wire, and one sidecar at a time."""

    def __init__(self, platform: Platform, tap: Tap, folder: Path, stack: AsyncExitStack) -> None:
        self.platform = platform
        self.tap = tap
        self.folder = folder
        self._stack = stack

    async def sidecar(self, registry: dict[str, Any]) -> Fleet:
        """Start the process of a sidecar with a registry; the sidecar does not run yet."""
        config = settings(self.tap.port, self.folder, 10.0)
        config["on_demand"]["registry"] = registry
        fleet = Fleet(1)
        self._stack.push_async_callback(fleet.stop)
        await fleet.start(write_files(self.platform, self.folder, config), 1)
        return fleet


@asynccontextmanager
async def _world(size: Size) -> AsyncIterator[_World]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="septem-scale-")))
        platform = await asyncio.to_thread(Platform, size)
        stack.callback(platform.stop)
        tap = Tap(platform.openbao.port)
        await tap.start()
        stack.push_async_callback(tap.stop)
        yield _World(platform, tap, folder, stack)


def _names(count: int) -> Iterator[str]:
    return map(domain_of, range(count))


def _store(platform: Platform, count: int) -> None:
    """Put a certificate of each name where the fleet keeps them."""
    kv = platform.openbao.client.secrets.kv.v2

    def put(name: str) -> None:
        made = self_signed(name)
        data = {"certificate": made.chain_pem.decode(), "private_key": made.key_pem.decode()}
        kv.create_or_update_secret(f"septem/certificates/certificates/internal/{name}", data)

    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(put, _names(count)))
