"""Disturbances by load and by what the sidecars lean on: floods, full disks, Redis."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from signal import SIGCONT, SIGKILL, SIGSTOP

from bench.soak.answers import read_answer
from bench.soak.asks import Ask
from bench.soak.connections import Http2, Stale
from bench.soak.schedule import Disturbance
from bench.soak.tokens import mint
from bench.soak.tools import Tools
from bench.soak.world import identity_of

_POURING, _FLOODS = 8, 10_000
"""How many clients send a flood, and the number that those of the first one have."""
_FORGED = Ask(
    0, 0, "get", "/api/flood", "forged", 0, 0, (), "", spoofed=False, bundle="", host=0, keep=1
)


class Load:
    """Sends floods, fills disks, and takes Redis away."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def flood(self, each: Disturbance) -> None:
        """Send forged tokens, each another one, as fast as they are answered: all must be 401."""
        size = 100 + int(400 * each.strength)
        with self._tools.timeline.during("flood", f"of {size}", self._tools.clock):
            numbers = iter(range(size))
            async with asyncio.TaskGroup() as tasks:
                for _ in range(_POURING):
                    tasks.create_task(self._pour(each.number, numbers))

    async def _pour(self, flood: int, numbers: Iterator[int]) -> None:
        world, edge = self._tools.world, self._tools.stack.edge
        context, name = edge.context("h2"), world.names[0].name
        connection = await Http2.open(edge, context, name)
        for number in numbers:
            ask = _FORGED._replace(client=_FLOODS + flood, number=number)
            token = mint(ask, identity_of(ask), world.key_for(ask), self._tools.wall())
            sent, reply = world.sends(ask), None
            while reply is None:
                if connection.closing:
                    connection.close()
                    connection = await Http2.open(edge, context, name)
                with suppress(Stale):
                    headers = [("authorization", f"Bearer {token}")]
                    reply = await connection.request("GET", ask.path, headers)
            received = world.clock()
            answer, decision_id = read_answer(reply, None)
            right = world.right_answers(sent, received)
            self._tools.judge.decided(sent, received, answer, right, decision_id)
        connection.close()

    async def fill_disk(self, each: Disturbance) -> None:
        """Let a sidecar's files grow no more for a while; its answers may not change."""
        sidecar = self._tools.one(each)
        with self._tools.timeline.during("disk_full", sidecar.name, self._tools.clock):
            size = sidecar.unit.audit_log.stat().st_size
            sidecar.limit_files(size)
            try:
                await asyncio.sleep(2 + 6 * each.strength)
            finally:
                sidecar.limit_files(-1)
            lines = await asyncio.to_thread(sidecar.unit.audit_log.stat)
            await self._tools.until(
                lambda: sidecar.unit.audit_log.stat().st_size > lines.st_size,
                "audit lines are written again",
            )
            await asyncio.to_thread(sidecar.metrics)

    async def kill_redis(self, each: Disturbance) -> None:
        """Kill Redis, with all that it knew."""
        redis = self._tools.stack.redis
        with self._tools.timeline.during("redis_killed", "", self._tools.clock):
            await asyncio.to_thread(redis.signal, SIGKILL)
            await asyncio.sleep(1 + 4 * each.strength)
            await asyncio.to_thread(redis.kill)
            await asyncio.to_thread(redis.start)
            await self._tools.until(self._shares, "limits are shared again")

    async def freeze_redis(self, each: Disturbance) -> None:
        """Have Redis answer nothing for a while."""
        redis = self._tools.stack.redis
        with self._tools.timeline.during("redis_frozen", "", self._tools.clock):
            await asyncio.to_thread(redis.signal, SIGSTOP)
            await asyncio.sleep(1 + 4 * each.strength)
            await asyncio.to_thread(redis.signal, SIGCONT)
            await self._tools.until(self._shares, "limits are shared again")

    def _shares(self) -> bool:
        return all(
            each.metrics().get("septem_limits_store_reachable") == 1
            for each in self._tools.stack.sidecars
        )
