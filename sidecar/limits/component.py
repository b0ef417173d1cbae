"""Joins rate limits to Vault, to the fleet's store, to alerts, metrics and the admin port."""

import asyncio
import random
import secrets
from collections.abc import Callable, Mapping
from functools import partial

from sidecar.common.clock import elapsed_ns
from sidecar.config import model
from sidecar.config.limits import RedisSettings
from sidecar.context import AppContext, PreparedPart
from sidecar.limits.admin_routes import limit_routes
from sidecar.limits.bucket import Limit
from sidecar.limits.buckets import Buckets
from sidecar.limits.metrics import limit_families
from sidecar.limits.policy import compile_limits
from sidecar.limits.ports import Store
from sidecar.limits.tenant_limits import TenantLimitPoller
from sidecar.observability.alerts import Alert, Alerts, Severity
from sidecar.vault.client import VaultClient

_SUBJECT = "limits"


class CurrentLimits:
    """Has a limiter count by its policy, and tenants by their limits in Vault, where it has some.

    ``publish`` is called when other processes must be told of a change.
    """

    def __init__(self, limiter: Buckets, publish: Callable[[], None]) -> None:
        self._limiter = limiter
        self._publish = publish
        self._configured = limiter.policy
        self._stored: Mapping[str, Limit] = {}
        self.poller: TenantLimitPoller | None = None
        """What reads them in Vault, if anything does."""

    def use_stored(self, stored: Mapping[str, Limit]) -> None:
        """Count by other limits of Vault; by those of the settings where it has none."""
        self._stored = stored
        tenants = {**self._configured.tenants, **stored}
        self._limiter.use_policy(self._configured.with_tenants(tenants), elapsed_ns())
        self._publish()

    async def prepare(self, config: model.Config) -> PreparedPart:
        """Compile other limits, for a reload."""
        compiled = await asyncio.to_thread(compile_limits, config)

        def adopt() -> None:
            if compiled is not None:
                self._configured = compiled
                self.use_stored(self._stored)
            if self.poller is not None:
                self.poller.poll_seconds = config.keys.poll_seconds

        return PreparedPart(adopt)


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
    if settings is None or limiter is None:
        return
    rates = CurrentLimits(limiter, publish)
    context.reload_parts.append(rates.prepare)
    if settings.tenants_from is not None:
        poller = TenantLimitPoller(
            settings.tenants_from,
            vault,
            poll_seconds=context.config.keys.poll_seconds,
            jitter=random.random,
            publish=rates.use_stored,
        )
        rates.poller = poller
        context.watch(poller.status)
        context.refreshed.append(poller.status)
        context.refreshers.append(poller.refresh)
        with context.waits.on(poller.status.name):
            await poller.refresh()
        context.spawn(poller.run())
    store = None
    if settings.redis is not None:
        store = _make_store(settings.redis, limiter, alerts, publish)
        context.watch(store.status)
        with context.waits.on(store.status.name):
            await store.start()
        context.spawn(store.run())
    context.metrics.add_source(partial(limit_families, limiter, store))
    context.routes.update(limit_routes(limiter, store))


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
