"""A sidecar of the fleet: the sidecar's own components, without its listeners and processes.

Vault's client and its login, the pollers of keys, revocations and domains, the shared store of
certificates with its leases, and the names on demand are those that ``sidecar serve`` joins, with
the same settings, in the same order (``sidecar.runtime.serve``, ``sidecar.sds.component``). What
is left out is what no Vault notices: the gRPC servers, the Check, the admin port.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

from sidecar.certificates.managed.component import Certificates
from sidecar.certificates.on_demand.component import OnDemandComponent, make_component
from sidecar.common.clock import wall_seconds
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.context import AppContext
from sidecar.keys import component as keys
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.refresher import KeyView
from sidecar.observability.alerts import Alerts
from sidecar.sds.service import SdsEvents, SdsService
from sidecar.tokens.revocation import Revocations
from sidecar.vault import component as vault
from workload.x509.material import Material

ASK_AGAIN_SECONDS = 1.0
RESTART_SECONDS = 2.0
"""After a start that failed: whoever supervises the process starts it again."""


class Event(NamedTuple):
    """Something that a sidecar of the fleet noticed. ``at`` is Unix seconds."""

    at: float
    sidecar: int
    kind: str
    what: str


class SimulatedSidecar:
    """One sidecar; ``notice`` gets its events."""

    def __init__(self, config: model.Config, number: int, notice: Callable[[Event], None]) -> None:
        self._config = config
        self._number = number
        self._notice = notice
        self._stack = AsyncExitStack()
        self._certificates: Certificates | None = None
        self._on_demand: OnDemandComponent | None = None
        self._asked: set[str] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Start, again where that fails, and live until ``stop``."""
        while not stop.is_set():
            try:
                await self._start()
                self._say("ready", "")
                await stop.wait()
            except Fault as fault:
                self._say("failed", str(fault))
                await asyncio.sleep(RESTART_SECONDS)
            finally:
                await self._stack.aclose()
                self._stack = AsyncExitStack()

    def ask(self, name: str) -> None:
        """Ask for a name as Envoy does at a handshake, and go on waiting for it."""
        self._asked.add(name)
        self._look_up(name)

    def _look_up(self, name: str) -> None:
        """Look again whenever the sidecar says that there is news, as its SDS stream does."""
        if self._on_demand is not None and name in self._asked:
            answer = self._on_demand.source.lookup(name, waits=True)
            if isinstance(answer, Material):
                self._asked.discard(name)
                self._say(f"name {name}", answer.serial)
            elif answer is None:  # refused: its client tries again
                asyncio.get_running_loop().call_later(ASK_AGAIN_SECONDS, self._look_up, name)

    def renew(self, name: str) -> None:
        """Renew a certificate as ``sidecar certs renew`` does."""
        if self._certificates is not None:
            self._certificates.manager.renew_by_hand(name)

    def _say(self, kind: str, what: str) -> None:
        self._notice(Event(time.time(), self._number, kind, what))

    async def _start(self) -> None:
        context = AppContext(self._config)
        await self._stack.enter_async_context(context.stack)
        client = await vault.start(context)
        alerts = Alerts(wall_seconds, with_webhook=False)
        pollers = await keys.start(
            context, client, alerts, publish=self._keys, publish_revocations=self._revoked
        )
        certificates = Certificates(
            self._config, client.with_own_threads("vault-certificates"), alerts
        )
        context.stack.callback(certificates.close)
        certificates.store.watch(lambda name: self._changed(certificates, name))
        component = make_component(
            self._config, client.with_lanes("vault-domains"), certificates, lambda _: None
        )
        assert component is not None
        await asyncio.gather(certificates.load(), component.load())
        component.start(context, _streams(certificates, component))
        pollers.start(context)
        context.spawn(certificates.run())
        await certificates.obtain(lambda _names: None)
        context.spawn(certificates.manager.keep_fresh())
        self._certificates, self._on_demand = certificates, component
        component.source.watch(self._look_up)

    def _keys(self, view: KeyView) -> None:
        self._say("keys", f"{view.state} {' '.join(sorted(key.kid for key in view.ring))}")

    def _revoked(self, revocations: Revocations, state: KeyState) -> None:
        self._say("revocations", f"{state} {len(revocations)}")

    def _changed(self, certificates: Certificates, name: str) -> None:
        material = certificates.store.get(name)
        if material is not None:
            self._say(f"certificate {name}", material.serial)


def _streams(certificates: Certificates, component: OnDemandComponent) -> SdsService:
    events = SdsEvents(lambda _: None, lambda _: None, lambda _node, _words: None)
    return SdsService(
        certificates.store, events, on_demand=component.source, configured=certificates.configured
    )
