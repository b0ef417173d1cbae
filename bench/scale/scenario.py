"""What happens to the fleet, one thing after the other, and what each costs Vault."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

from bench.scale.calls import ORDER, between, spread_seconds, summary
from bench.scale.driving import Fleet, faults, kinds
from bench.scale.platform import EDGE, Platform, Size, domain_of, settings, write_files
from bench.scale.simulated import Event
from bench.scale.tap import Mode, Tap

_START_SECONDS = 300.0
_NOTICE_SECONDS = 120.0


class Plan(NamedTuple):
    """How large the fleet is, and how long it is watched. Times are in seconds."""

    sidecars: int
    processes: int
    size: Size
    steady_seconds: float
    outage_seconds: float
    names: int
    """On demand, asked of every sidecar at one moment."""
    poll_seconds: float = 10.0
    """Of keys, revocations and domains: the default of each."""


async def run(plan: Plan) -> dict[str, Any]:
    """Run the whole scenario; return its figures."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="septem-scale-")))
        platform = await asyncio.to_thread(Platform, plan.size)
        stack.callback(platform.stop)
        tap = Tap(platform.openbao.port)
        await tap.start()
        stack.push_async_callback(tap.stop)
        config = write_files(platform, folder, settings(tap.port, folder, plan.poll_seconds))
        fleet = Fleet(plan.sidecars)
        stack.push_async_callback(fleet.stop)
        await fleet.start(config, plan.processes)
        return await _Scenario(plan, platform, tap, fleet).run()


class _Scenario:
    def __init__(self, plan: Plan, platform: Platform, tap: Tap, fleet: Fleet) -> None:
        self._plan = plan
        self._platform = platform
        self._tap = tap
        self._fleet = fleet

    async def run(self) -> dict[str, Any]:
        """Run every phase, in an order in which none disturbs the next."""
        plan = self._plan
        found: dict[str, Any] = {
            "sidecars": plan.sidecars,
            "processes": plan.processes,
            "revocation_entries": plan.size.revocation_entries,
            "domains": plan.size.domains,
            "names_on_demand": plan.names,
        }
        found["start"] = await self._start()
        found["steady"] = await self._watch(plan.steady_seconds)
        found["names"] = await self._names()
        found["key_rotated"] = await self._noticed("keys", self._platform.rotate_key)
        found["after_rotation"] = await self._watch(plan.steady_seconds / 2)
        found["revoked"] = await self._noticed(
            "revocations", lambda: self._platform.revoke("stolen")
        )
        found["certificate_renewed"] = await self._renewed()
        found["sealed"] = await self._outage(Mode.SEALED)
        found["limited"] = await self._outage(Mode.LIMITED)
        found["rss_mb_a_sidecar"] = round(self._fleet.rss_mb / plan.sidecars, 2)
        found["failed_starts"] = faults(self._fleet.events)
        return found

    def _summary(self, start: float) -> dict[str, Any]:
        return summary(self._tap.calls, start, time.time())

    async def _start(self) -> dict[str, Any]:
        begun = time.time()
        await self._fleet.tell(do="start")
        ready = await self._fleet.until_all(begun, kinds("ready"), _START_SECONDS)
        if len(ready) < self._plan.sidecars:
            raise SystemExit(f"{len(ready)} are ready: {faults(self._fleet.events)}")
        return {**self._summary(begun), "ready_seconds": spread_seconds(ready)}

    async def _watch(self, seconds: float) -> dict[str, Any]:
        begun = time.time()
        await asyncio.sleep(seconds)
        return self._summary(begun)

    async def _names(self) -> dict[str, Any]:
        """Ask every sidecar for the same new names at one moment."""
        names = [domain_of(number) for number in range(self._plan.names)]
        begun = time.time()
        await self._fleet.tell(do="ask", names=names)
        there: list[float] = []
        for name in names:
            there += await self._fleet.until_all(begun, kinds(f"name {name}"), _NOTICE_SECONDS)
        return self._served(begun, there)

    def _served(self, begun: float, there: list[float]) -> dict[str, Any]:
        calls = between(self._tap.calls, begun, time.time())
        return {
            **self._summary(begun),
            "orders": sum(each.kind == ORDER for each in calls),
            "served_seconds": spread_seconds(there),
        }

    async def _noticed(self, kind: str, change: Callable[[], None]) -> dict[str, Any]:
        """Change something in Vault, and see when every sidecar has it."""
        await self._fleet.report()
        begun = time.time()
        await asyncio.to_thread(change)
        there = await self._fleet.until_all(begun, kinds(kind), _NOTICE_SECONDS)
        return {"noticed_by": len(there), "noticed_seconds": spread_seconds(there)}

    async def _renewed(self) -> dict[str, Any]:
        """Have every sidecar renew the shared certificate at one moment: the worst of herds."""
        await asyncio.sleep(1)
        begun = time.time()
        await self._fleet.tell(do="renew", name=EDGE)
        there = await self._fleet.until_all(begun, kinds(f"certificate {EDGE}"), _NOTICE_SECONDS)
        serials = {e.what for e in self._fleet.events if e.kind == f"certificate {EDGE}"}
        return {**self._served(begun, there), "certificates_so_far": len(serials)}

    async def _outage(self, mode: Mode) -> dict[str, Any]:
        """Have Vault refuse everything for a while; see the calls meanwhile and afterwards."""
        begun = time.time()
        self._tap.mode = mode
        await asyncio.sleep(self._plan.outage_seconds)
        self._tap.mode, over = Mode.OPEN, time.time()
        during = summary(self._tap.calls, begun, over)
        await self._fleet.report()
        hit = self._fleet.first_since(begun, _in_outage)
        there = await self._fleet.until_all(over, _well_again, _NOTICE_SECONDS, len(hit))
        after = summary(self._tap.calls, over, over + max(10.0, self._plan.outage_seconds / 2))
        return {
            "during": during,
            "after": after,
            "noticed_by": len(hit),
            "well_again_by": len(there),
            "well_again_seconds": spread_seconds(there),
        }


def _in_outage(event: Event) -> bool:
    return event.kind == "keys" and event.what.startswith(("outage", "degraded"))


def _well_again(event: Event) -> bool:
    return event.kind == "keys" and event.what.startswith("active")
