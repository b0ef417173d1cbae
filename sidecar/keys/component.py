"""Polls the keys that verify tokens and the revocations, and publishes them to the Checks."""

import logging
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from prometheus_client.core import Metric

from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.current_task import CurrentTask
from sidecar.common.polling import PollStatus
from sidecar.config import model
from sidecar.context import AppContext, PreparedPart
from sidecar.keys.admin_routes import key_routes
from sidecar.keys.alerts import KEYS, REVOCATIONS, say_state
from sidecar.keys.factory import (
    SourceKey,
    close_source,
    make_key_source,
    revocation_key,
    revocation_times,
    seconds_of_tokens,
    source_key,
)
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.metrics import key_families, revocation_families
from sidecar.keys.panel import keys_panel, revocations_panel
from sidecar.keys.refresher import KeyPlan, KeyRefresher, KeyView, key_plan
from sidecar.keys.revocation_poller import RevocationPoller
from sidecar.keys.revocation_source import KvRevocationSource
from sidecar.keys.sources import KeySource
from sidecar.observability.alerts import Alerts
from sidecar.tokens.revocation import NOTHING_REVOKED, Revocations
from sidecar.vault.client import VaultClient

_NAMED_SOURCES = 3

_log = logging.getLogger("sidecar.keys")


class PreparedKeys(NamedTuple):
    """What a reload will poll: read already, and not in force yet."""

    plan: KeyPlan
    revocations: RevocationPoller | None
    fresh: tuple[object, ...]
    """Sources made for it, to be closed if the reload is given up."""

    def abandon(self) -> None:
        """Close what was made for a reload that does not take place."""
        for each in self.fresh:
            close_source(each)


class KeyPollers:
    """The pollers of keys and of revocations, which a reload may exchange."""

    def __init__(
        self,
        context: AppContext,
        vault: VaultClient,
        alerts: Alerts,
        *,
        publish: Callable[[KeyView], None],
        publish_revocations: Callable[[Revocations, KeyState], None],
    ) -> None:
        self._context = context
        self._vault = vault
        self._revocations_vault = vault.with_own_threads("vault-revocations")
        """A long list holds up nothing else."""
        self._alerts = alerts
        self._publish_revocations = publish_revocations
        self._revocations_task = CurrentTask()
        config = context.config
        self._issuers: dict[SourceKey, KeySource] = {}
        self.keys = KeyRefresher(
            self._make_sources(config, self._issuers),
            config.keys,
            token_seconds=seconds_of_tokens(config),
            clock=monotonic_seconds,
            now=wall_seconds,
            jitter=random.random,
            publish=publish,
            on_state=partial(say_state, alerts, KEYS),
        )
        for each in self.keys.statuses:
            context.watch(each.status)
        context.metrics.add_source(partial(key_families, self.keys, monotonic_seconds))
        context.routes.update(key_routes(self.keys, monotonic_seconds))
        self.revocations = self._make_revocations(config)
        if self.revocations is not None:
            context.watch(self.revocations.status)
        context.metrics.add_source(self._revocation_families)
        context.panels["keys"] = lambda ask: keys_panel(self.keys, monotonic_seconds(), ask)
        context.panels["revocations"] = lambda ask: revocations_panel(
            self.revocations, monotonic_seconds(), ask
        )
        context.stack.callback(self._close)

    async def load(self) -> None:
        """Read everything for the first time, revocations before keys. Raises ``Fault``."""
        if self.revocations is not None:
            await self.revocations.load()
        await self.keys.load()

    async def refresh(self) -> KeyState:
        """Read every source now; return the state of the keys after it."""
        if self.revocations is not None:
            await self.revocations.refresh()
        return await self.keys.refresh()

    @property
    def complete(self) -> bool:
        """Tell whether the last refresh read every source."""
        states = {self.keys.view.state}
        if self.revocations is not None:
            states.add(self.revocations.lifecycle.state)
        return states == {KeyState.ACTIVE}

    @property
    def statuses(self) -> tuple[PollStatus, ...]:
        """The status of every source."""
        return (*(each.status for each in self.keys.statuses), *_statuses(self.revocations))

    def refresh_soon(self) -> None:
        """Let the loops read at once (SIGHUP)."""
        self.keys.refresh_soon()
        if self.revocations is not None:
            self.revocations.refresh_soon()

    def start(self, context: AppContext) -> None:
        """Poll both until the drain."""
        context.spawn(self.keys.run())
        self._revocations_task.replace(None if self.revocations is None else self.revocations.run)
        context.spawn(self._revocations_task.run())

    async def prepare(self, config: model.Config) -> PreparedKeys:
        """Read what other settings name and is not polled yet; nothing changes meanwhile.

        Sources whose settings are the same go on with their keys. Raises ``Fault``.
        """
        issuers = dict(self._issuers)
        sources = self._make_sources(config, issuers)
        kept = {each.source: each for each in self.keys.plan.polled}
        plan = key_plan(sources, config.keys, seconds_of_tokens(config), kept)
        fresh: list[object] = [s for s in sources if s not in kept]
        revocations = self.revocations
        if revocation_key(config) != revocation_key(self._context.config):
            revocations = self._make_revocations(config)
            fresh += [] if revocations is None else [revocations.source]
        prepared = PreparedKeys(plan, revocations, tuple(fresh))
        try:
            if revocations is not None and revocations is not self.revocations:
                await revocations.load()
            await self.keys.prepare(
                plan, frozenset() if revocations is None else revocations.revocations.kids
            )
        except BaseException:
            prepared.abandon()
            raise
        return prepared

    def adopt(self, prepared: PreparedKeys, config: model.Config) -> None:
        """Put what was prepared in force, and publish it."""
        context, before = self._context, self.revocations
        for status in self.statuses:
            context.unwatch(status)
        self.revocations = prepared.revocations
        if self.revocations is not None:
            self.revocations.set_times(*revocation_times(config))
        if self.revocations is not before:
            new = self.revocations
            self._revocations_task.replace(None if new is None else new.run)
            revocations = NOTHING_REVOKED if new is None else new.revocations
            state = KeyState.INIT if new is None else new.lifecycle.state
            self.keys.revoke(revocations.kids)
            self._publish_revocations(revocations, state)
        gone = {each.source for each in self.keys.plan.polled}
        self.keys.adopt(prepared.plan)
        for status in self.statuses:
            context.watch(status)
        for source in gone - {each.source for each in prepared.plan.polled}:
            close_source(source)
        if before is not None and before is not self.revocations:
            close_source(before.source)
        self._issuers = {
            source_key(config, issuer): each.source
            for issuer, each in zip(config.tokens.issuers, prepared.plan.polled, strict=True)
        }

    def _make_sources(
        self, config: model.Config, held: dict[SourceKey, KeySource]
    ) -> list[KeySource]:
        """Return the source of each issuer; those that are ``held`` are not made again."""
        sources: list[KeySource] = []
        for issuer in config.tokens.issuers:
            key = source_key(config, issuer)
            if key not in held:
                held[key] = make_key_source(config, issuer, self._vault)
            sources.append(held[key])
        return sources

    def _make_revocations(self, config: model.Config) -> RevocationPoller | None:
        settings = config.keys.revocations
        if settings is None:
            return None
        source = KvRevocationSource(
            settings,
            self._revocations_vault,
            retention_seconds=config.tokens.token_seconds,
            now=wall_seconds,
            clock=monotonic_seconds,
        )
        poll_seconds, max_age_seconds = revocation_times(config)

        def publish(revocations: Revocations, state: KeyState) -> None:
            if poller is self.revocations:  # and not one that is read for a reload
                self.keys.revoke(revocations.kids)
                self._publish_revocations(revocations, state)

        poller = RevocationPoller(
            source,
            poll_seconds=poll_seconds,
            max_age_seconds=max_age_seconds,
            clock=monotonic_seconds,
            jitter=random.random,
            publish=publish,
            on_state=partial(say_state, self._alerts, REVOCATIONS),
        )
        return poller

    def _revocation_families(self) -> Iterator[Metric]:
        if self.revocations is not None:
            yield from revocation_families(self.revocations, monotonic_seconds)

    def _close(self) -> None:
        for each in self.keys.plan.polled:
            close_source(each.source)
        if self.revocations is not None:
            close_source(self.revocations.source)


async def start(
    context: AppContext,
    vault: VaultClient,
    alerts: Alerts,
    *,
    publish: Callable[[KeyView], None],
    publish_revocations: Callable[[Revocations, KeyState], None],
) -> KeyPollers:
    """Read and publish keys and revocations; return their pollers.

    Raises ``Fault`` if they can't be read.
    """

    def take(view: KeyView) -> None:
        context.health.facts["keys"] = view.state
        publish(view)

    pollers = KeyPollers(
        context, vault, alerts, publish=take, publish_revocations=publish_revocations
    )
    with context.waits.on(_what_is_read(pollers)):
        await pollers.load()

    async def prepare(config: model.Config) -> PreparedPart:
        prepared = await pollers.prepare(config)
        return PreparedPart(partial(pollers.adopt, prepared, config), prepared.abandon)

    context.reload_parts.append(prepare)
    return pollers


def _what_is_read(pollers: KeyPollers) -> str:
    """Name the sources of keys and of revocations, as what the start waits for."""
    names = [each.name for each in pollers.keys.statuses]
    more = len(names) - _NAMED_SOURCES
    keys = f"the keys in {', '.join(names[:_NAMED_SOURCES])}"
    if more > 0:
        keys += f" and {more} more"
    return keys if pollers.revocations is None else f"{keys}, and the revocations"


def _statuses(poller: RevocationPoller | None) -> tuple[PollStatus, ...]:
    return () if poller is None else (poller.status,)
