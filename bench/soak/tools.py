"""What every disturbance needs: the stack, the model, the timeline, and patience.

A disturbance ends with an event that proves its end: a refresh that all workers acknowledged, a
reload that is in force, a certificate that was seen. ``Overdue`` is raised where that does not come
within ``PATIENCE_SECONDS``; then something is wrong, however busy the machine is.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bench.soak.connections import Edge
from bench.soak.judge import Judge
from bench.soak.schedule import Disturbance
from bench.soak.settings import Shared
from bench.soak.stack import ChangingEnvoy, Sidecar
from bench.soak.timeline import Timeline
from bench.soak.world import World
from demo.openbao import OpenBao
from tests.support.redis_server import RedisServer

PATIENCE_SECONDS = 180.0
LOOK_SECONDS = 0.1


class Overdue(Exception):
    """What must come did not come."""


class Stack(NamedTuple):
    """What can be disturbed."""

    sidecars: Sequence[Sidecar]
    envoy: ChangingEnvoy
    openbao: OpenBao
    redis: RedisServer
    shared: Shared
    edge: Edge
    publisher_pem: str
    """The public key of the publisher of bundles that is registered."""


class Tools:
    """What a disturbance works with."""

    def __init__(
        self,
        stack: Stack,
        world: World,
        judge: Judge,
        timeline: Timeline,
        wall: Callable[[], float],
    ) -> None:
        """``wall`` tells Unix seconds."""
        self.stack = stack
        self.world = world
        self.judge = judge
        self.timeline = timeline
        self.clock = world.clock
        self.wall = wall

    async def until(self, holds: Callable[[], Any], what: str) -> None:
        """Wait for something that is looked at in a thread."""
        deadline = self.clock() + PATIENCE_SECONDS
        while not await asyncio.to_thread(holds):
            if self.clock() > deadline:
                raise Overdue(what)
            await asyncio.sleep(LOOK_SECONDS)

    def one(self, each: Disturbance) -> Sidecar:
        """Choose the sidecar that a disturbance hits: each in turn."""
        return self.stack.sidecars[each.number % len(self.stack.sidecars)]

    def refreshed(self) -> bool:
        """Have every sidecar read all of Vault now; tell whether all of it decides."""
        answers = [each.ask("POST", "/keys/refresh") for each in self.stack.sidecars]
        return all(answer is not None and answer[0] == 200 for answer in answers)
