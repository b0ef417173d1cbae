"""Joins rate limits to Vault, to the fleet's store, to alerts, metrics and the admin port."""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Hashable, Mapping
from functools import partial
from typing import NamedTuple

from sidecar.common.clock import elapsed_ns
from sidecar.common.current_task import Run
from sidecar.common.errors import Fault
from sidecar.common.keyed_tasks import KeyedTasks
from sidecar.config import model
from sidecar.config.limits import LimitsSettings, RedisSettings
from sidecar.context import AppContext, PreparedPart
from sidecar.limits.adjusting import adjust_soon
from sidecar.limits.admin_routes import limit_routes
from sidecar.limits.bucket import Limit
from sidecar.limits.buckets import Buckets
from sidecar.limits.metrics import limit_families
from sidecar.limits.panel import limits_panel
from sidecar.limits.policy import LimitsPolicy, compile_limits
from sidecar.limits.ports import Store
from sidecar.limits.tenant_limits import TenantLimitPoller
from sidecar.observability.alerts import Alert, Alerts, Severity
from sidecar.observability.panel import Ask, Panel
from sidecar.vault.client import VaultClient
from sidecar.vault.ports import KvReader

_SUBJECT = "limits"


class PreparedLimits(NamedTuple):
    """What a reload counts by, and the sources that it has read or reached already."""

    settings: LimitsSettings
    compiled: LimitsPolicy
    poll_seconds: float
    poller: TenantLimitPoller | None
    store: Store | None


class CurrentLimits:
    """Has a limiter count by its policy, and tenants by their limits in Vault, where it has some.

    ``publish`` is called when other processes must be told of a change.
    """

    def __init__(
        self,
        context: AppContext,
        vault: KvReader,
        alerts: Alerts,
        limiter: Buckets,
        publish: Callable[[], None],
    ) -> None:
        self._context = context
        self._vault = vault
        self._alerts = alerts
        self._limiter = limiter
        self._publish = publish
        self._configured = limiter.policy
        self._stored: Mapping[str, Limit] = {}
        self._settings = LimitsSettings()
        self._tasks = KeyedTasks()
        self.poller: TenantLimitPoller | None = None
        """What reads the tenants' limits in Vault, if anything does."""
        self.store: Store | None = None
        """What shares the limits with a fleet, if anything does."""

    def use_stored(self, stored: Mapping[str, Limit]) -> None:
        """Count by other limits of Vault; by those of the settings where it has none."""
        self._stored = stored
        tenants = {**self._configured.tenants, **stored}
        self._limiter.use_policy(self._configured.with_tenants(tenants), elapsed_ns())
        adjust_soon(self._limiter)
        self._publish()

    async def start(self, settings: LimitsSettings) -> None:
        """Read what is configured; a store that is away does not prevent the start."""
        context, self._settings = self._context, settings
        poll_seconds = context.config.keys.poll_seconds
        self.poller = self._make_poller(settings, poll_seconds)
        self.store = self._make_store(settings)
        context.refreshers.append(self._refresh)
        self._exchange((None, None))
        if self.poller is not None:
            with context.waits.on(self.poller.status.name):
                await self.poller.refresh()
        if self.store is not None:
            with context.waits.on(self.store.status.name):
                await self.store.start()
        context.metrics.add_source(lambda: limit_families(self._limiter, self.store))
        context.spawn(self._tasks.run())
        context.reload_parts.append(self.prepare)

    async def prepare(self, config: model.Config) -> PreparedPart:
        """Compile other limits and read other sources, for a reload. Raises ``Fault``.

        An entry or a store of the same settings goes on.
        """
        compiled = await asyncio.to_thread(compile_limits, config)
        settings = config.limits
        if settings is None or compiled is None:
            return PreparedPart(lambda: None)  # a reload neither begins nor ends limits
        poll_seconds, poller, store = config.keys.poll_seconds, self.poller, self.store
        if settings.tenants_from != self._settings.tenants_from:
            poller = self._make_poller(settings, poll_seconds)
            if poller is not None:
                await poller.refresh()
                if poller.status.problem:
                    raise LimitsFault(poller.status.problem)
        if settings.redis != self._settings.redis:
            store = self._make_store(settings)
            if store is not None:
                await store.check()
        prepared = PreparedLimits(settings, compiled, poll_seconds, poller, store)
        return PreparedPart(partial(self._adopt, prepared))

    def _adopt(self, prepared: PreparedLimits) -> None:
        settings, self._configured, poll_seconds, poller, store = prepared
        limiter, before = self._limiter, (self.poller, self.store)
        self._settings, self.poller, self.store = settings, poller, store
        if store is not before[1]:
            limiter.use_shared(shared=store is not None)
        limiter.use_bound(settings.max_keys)
        if poller is not None:
            poller.poll_seconds = poll_seconds
        self._exchange(before)
        self.use_stored({} if poller is None else poller.held)

    def _exchange(self, before: tuple[TenantLimitPoller | None, Store | None]) -> None:
        """Run and show what is polled now, in place of what was."""
        context, now = self._context, (self.poller, self.store)
        were, are = ([each.status for each in parts if each] for parts in (before, now))
        context.exchange_watched(were, are)
        if before[0] is not None:
            context.refreshed.remove(before[0].status)
        if self.poller is not None:
            context.refreshed.append(self.poller.status)
        tasks: dict[Hashable, Run] = {each.status: each.run for each in now if each is not None}
        self._tasks.use(tasks)
        context.routes.update(limit_routes(self._limiter, self.store))
        context.panels["limits"] = self._panel

    def _panel(self, ask: Ask) -> Awaitable[Panel]:
        return limits_panel(self._limiter, self.store, self.poller, elapsed_ns(), ask)

    async def _refresh(self) -> None:
        if self.poller is not None:
            await self.poller.refresh()

    def _make_poller(
        self, settings: LimitsSettings, poll_seconds: float
    ) -> TenantLimitPoller | None:
        if settings.tenants_from is None:
            return None

        def publish(stored: Mapping[str, Limit]) -> None:
            if poller is self.poller:  # and not one that is read for a reload
                self.use_stored(stored)

        poller = TenantLimitPoller(
            settings.tenants_from,
            self._vault,
            poll_seconds=poll_seconds,
            jitter=random.random,
            publish=publish,
        )
        return poller

    def _make_store(self, settings: LimitsSettings) -> Store | None:
        if settings.redis is None:
            return None
        return _make_store(settings.redis, self._limiter, self._alerts, self._publish)


class LimitsFault(Fault):
    """What other limits need can't be read."""


async def start(
    context: AppContext,
    vault: VaultClient,
    alerts: Alerts,
    limiter: Buckets | None,
    publish: Callable[[], None],
) -> None:
    """Start what changes the limiter while it runs, if the configuration has limits.

    ``publish`` is called when other processes must be told of a change.
    """
    settings = context.config.limits
    if settings is not None and limiter is not None:
        await CurrentLimits(context, vault, alerts, limiter, publish).start(settings)


def _make_store(
    settings: RedisSettings, limiter: Buckets, alerts: Alerts, publish: Callable[[], None]
) -> Store:
    # It imports redis: a tenth of a second and some megabytes that only a fleet needs.
    from sidecar.limits.redis_store import FleetShares  # noqa: PLC0415

    def changed(reachable: bool) -> None:
        alerts.say(_alert(settings.address, reachable=reachable))
        publish()

    return FleetShares(
        settings,
        limiter,
        member=secrets.token_hex(8),
        now_ns=elapsed_ns,
        on_change=changed,
        on_joined=publish,
    )


def _alert(address: str, *, reachable: bool) -> Alert:
    if reachable:
        message = f"limits are shared through Redis {address} again"
        return Alert(Severity.INFO, _SUBJECT, "ok", message)
    message = (
        f"Redis {address} can't be used: each sidecar spends its last share of each limit; "
        "/readyz says why"
    )
    return Alert(Severity.WARNING, _SUBJECT, "outage", message)
