"""Does what the schedule says, a lane after its order, and no two that may not meet.

Each kind holds the locks of what it must not share: a sidecar that is started needs its Vault, and
of two sidecars one alone is away at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from bench.soak.at_edge import AtEdge
from bench.soak.in_sidecars import InSidecars
from bench.soak.in_vault import InVault
from bench.soak.load import Load
from bench.soak.schedule import Disturbance
from bench.soak.tools import Tools

Act = Callable[[Any, Disturbance], Awaitable[None]]
_BOTH = ("processes", "vault")
KINDS: dict[str, tuple[Act, tuple[str, ...]]] = {
    "keys_rotated": (InVault.rotate_keys, ("vault",)),
    "vault_killed": (InVault.kill_vault, ("vault",)),
    "vault_frozen": (InVault.freeze_vault, ("vault",)),
    "vault_sealed": (InVault.seal_vault, ("vault",)),
    "token_revoked": (InVault.revoke_token, ("vault",)),
    "subject_revoked": (InVault.revoke_subject, ("vault",)),
    "bundle_withdrawn": (InVault.withdraw_bundle, ("vault",)),
    "routes_changed": (InSidecars.change_routes, ()),
    "file_broken": (InSidecars.break_file, ("processes",)),
    "restart_overlapped": (InSidecars.restart_overlapped, _BOTH),
    "worker_killed": (InSidecars.kill_worker, ("processes",)),
    "sidecar_killed": (InSidecars.kill_sidecar, _BOTH),
    "sidecar_restarted": (InSidecars.restart_sidecar, _BOTH),
    "names_registered": (AtEdge.register_name, _BOTH),
    "certificate_renewed": (AtEdge.renew, _BOTH),
    "listeners_updated": (AtEdge.update_listeners, ()),
    "envoy_restarted": (AtEdge.restart_envoy, ()),
    "flood": (Load.flood, ()),
    "disk_full": (Load.fill_disk, ("processes",)),
    "redis_killed": (Load.kill_redis, ()),
    "redis_frozen": (Load.freeze_redis, ()),
}
"""Of each kind what is done, and what it must have for itself, in the order of the alphabet."""


class Disturber:
    """Carries disturbances out. ``done`` counts them by kind."""

    def __init__(self, tools: Tools) -> None:
        self.edge = AtEdge(tools)
        self.done: dict[str, int] = {}
        self._tools = tools
        self._locks = {name: asyncio.Lock() for name in _BOTH}
        self._parts: tuple[object, ...] = (
            self.edge, InVault(tools), InSidecars(tools), Load(tools),
        )  # fmt: skip

    async def run(self, lane: Sequence[Disturbance], start: float, over: asyncio.Event) -> None:
        """Carry out a lane until it is over."""
        for each in lane:
            pause = start + each.at_seconds - self._tools.clock()
            if pause > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), pause)
            if over.is_set():
                return
            await self._do(each)

    async def _do(self, each: Disturbance) -> None:
        act, locks = KINDS[each.kind]
        (part,) = (part for part in self._parts if act.__name__ in type(part).__dict__)
        began = self._tools.clock()
        try:
            async with AsyncExitStack() as held:
                for name in locks:
                    await held.enter_async_context(self._locks[name])
                began = self._tools.clock()
                await act(part, each)
        except Exception as exc:  # noqa: BLE001 - a task's edge: it is a finding, and the lane goes on
            now = self._tools.clock()
            self._tools.judge.report("disturbance", each.kind, [repr(exc)], began, now)
        self.done[each.kind] = self.done.get(each.kind, 0) + 1
