"""Disturbances of the sidecars: their files, their workers, their lives."""

import asyncio
import os
from functools import partial
from signal import SIGKILL

from bench.soak.policy import changed
from bench.soak.schedule import Disturbance
from bench.soak.stack import Sidecar
from bench.soak.tools import PATIENCE_SECONDS, Overdue, Tools
from demo.process import fetch_text

_LAST_WORDS_SECONDS = 4.0
_FINE = frozenset({"applied", "unchanged"})


class InSidecars:
    """Reloads, breaks, kills and restarts."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def _reloaded(self, sidecar: Sidecar, wanted: frozenset[str]) -> bool:
        answer = sidecar.ask("POST", "/config/reload", seconds=PATIENCE_SECONDS)
        if answer is None or answer[0] == 404:
            return False  # it does not run, or has not got as far in its start
        if any("shutting down" in each for each in answer[1].get("problems", ())):
            return False  # its successor reads the file when it starts
        if answer[1].get("result") not in wanted:
            raise Overdue(f"a reload ended as {answer[1]}")
        return True

    async def change_routes(self, each: Disturbance) -> None:
        """Put another file in force, stricter or looser, one sidecar after the other."""
        policy = changed(self._tools.world.policy.newest, each.number, each.strength)
        with self._tools.timeline.during("routes_changed", f"to {policy}", self._tools.clock):
            self._tools.world.policy.begin(policy, self._tools.clock())
            for sidecar in self._tools.stack.sidecars:
                sidecar.write(policy)
                await self._tools.until(partial(self._reloaded, sidecar, _FINE), "a reload")
            self._tools.world.policy.settle(self._tools.clock())

    async def break_file(self, each: Disturbance) -> None:
        """Write half a file, or one with a setting that does not exist: nothing may change."""
        sidecar = self._tools.one(each)
        whole = sidecar.config.read_text()
        broken = whole[: len(whole) // 2] if each.strength < 0.5 else whole + "nonsense: true\n"
        with self._tools.timeline.during("file_broken", sidecar.name, self._tools.clock):
            sidecar.write_text(broken)
            await self._tools.until(
                lambda: self._reloaded(sidecar, frozenset({"invalid"})), "a broken file is refused"
            )
            sidecar.write(self._tools.world.policy.newest)
            await self._tools.until(
                lambda: self._reloaded(sidecar, _FINE), "a whole file is taken again"
            )

    async def restart_overlapped(self, each: Disturbance) -> None:
        """Have a second instance take over in the same process: nobody may notice."""
        sidecar = self._tools.one(each)
        sidecar.drain_seconds = 4.0 if sidecar.drain_seconds == 5.0 else 5.0
        sidecar.write(self._tools.world.policy.newest)
        sidecar.metrics()
        with self._tools.timeline.during("restart_overlapped", sidecar.name, self._tools.clock):
            body = b'{"allow_restart": true}'

            def restarted() -> bool:
                answer = sidecar.ask("POST", "/config/reload", body, PATIENCE_SECONDS)
                if answer is None or answer[1].get("result") != "restarted":
                    raise Overdue(f"an overlapping restart ended as {answer}")
                return True

            await asyncio.to_thread(restarted)
            sidecar.begin_life()
            await self._tools.until(sidecar.is_ready, "the successor is ready")
            # The one before still writes what it has to its logs, and ends.
            await asyncio.sleep(_LAST_WORDS_SECONDS)

    async def kill_worker(self, each: Disturbance) -> None:
        """Kill one worker."""
        with_workers = [s for s in self._tools.stack.sidecars if s.unit.workers > 1]
        sidecar = with_workers[each.number % len(with_workers)]
        pids = sidecar.worker_pids()
        if not pids:
            raise Overdue(f"{sidecar.name} has no worker")
        victim = pids[int(each.strength * len(pids))]
        with self._tools.timeline.during(
            "worker_killed", f"{sidecar.name} {victim}", self._tools.clock
        ):
            os.kill(victim, SIGKILL)
            await self._tools.until(lambda: victim not in sidecar.worker_pids(), "a worker is gone")
            workers = float(sidecar.unit.workers)
            await self._tools.until(
                lambda: sidecar.metrics().get("septem_workers_serving") == workers,
                "a worker is back",
            )

    async def kill_sidecar(self, each: Disturbance) -> None:
        """Kill a sidecar without a warning, and start it again."""
        sidecar = self._tools.one(each)
        await asyncio.to_thread(sidecar.metrics)
        with self._tools.timeline.during("sidecar_killed", sidecar.name, self._tools.clock):
            await asyncio.to_thread(sidecar.kill)
            await asyncio.to_thread(sidecar.start)
            await self._answered()

    async def restart_sidecar(self, each: Disturbance) -> None:
        """Stop one as systemd does, and start it; the other answers meanwhile."""
        sidecar = self._tools.one(each)
        with self._tools.timeline.during("sidecar_restarted", sidecar.name, self._tools.clock):
            await asyncio.to_thread(sidecar.stop)
            await asyncio.to_thread(sidecar.start)
            await self._answered()

    async def _answered(self) -> None:
        """Wait until Envoy asks all endpoints again, and a request gets an answer."""
        admin = self._tools.stack.envoy.admin_port
        await self._tools.until(lambda: all_healthy(admin), "Envoy counts every sidecar as healthy")


def all_healthy(envoy_admin: int) -> bool:
    """Tell whether Envoy counts every endpoint of Checks as healthy."""
    text = fetch_text(envoy_admin, "/stats?filter=^cluster.sidecar_authz.membership_")
    found = dict(line.split(": ") for line in text.splitlines() if ": " in line)
    healthy = found.get("cluster.sidecar_authz.membership_healthy")
    return healthy is not None and healthy == found["cluster.sidecar_authz.membership_total"]
