"""Joins the issuers' tables of tenants in Vault to those who answer Checks, and to reloads."""

import asyncio
import random
from collections.abc import Callable, Hashable, Mapping
from functools import partial

from sidecar.common.current_task import Run
from sidecar.common.keyed_tasks import KeyedTasks
from sidecar.config import model
from sidecar.context import AppContext, PreparedPart
from sidecar.keys.tenant_table_poller import TenantTablePoller
from sidecar.tokens.mapping import TableSource
from sidecar.tokens.tenant_tables import TenantTables
from sidecar.vault.ports import KvReader

Pollers = Mapping[TableSource, TenantTablePoller]


class CurrentTenantTables:
    """The tables of the configuration in force, and what reads them; a reload may exchange them."""

    def __init__(
        self, context: AppContext, vault: KvReader, publish: Callable[[TenantTables], None]
    ) -> None:
        self._context = context
        self._vault = vault
        self._publish = publish
        self._tasks = KeyedTasks()
        self.pollers: Pollers = {}

    async def start(self) -> None:
        """Read every table and publish them. Raises ``TenantTableFault`` if one can't be read.

        As with keys, a sidecar that would deny an issuer's tokens does not start.
        """
        context = self._context
        pollers = self._make(context.config)
        for poller in pollers.values():
            with context.waits.on(poller.status.name):
                await poller.load()
        self._adopt(pollers, context.config)
        context.refreshers.append(self._refresh)
        context.spawn(self._tasks.run())
        context.reload_parts.append(self.prepare)

    async def prepare(self, config: model.Config) -> PreparedPart:
        """Read the tables that other settings name and nobody reads yet. Raises ``Fault``."""
        pollers = self._make(config)
        fresh = [each for source, each in pollers.items() if source not in self.pollers]
        await asyncio.gather(*(each.load() for each in fresh))
        return PreparedPart(partial(self._adopt, pollers, config))

    def _adopt(self, pollers: Pollers, config: model.Config) -> None:
        """Poll and publish these from now on."""
        context, before, self.pollers = self._context, self.pollers, pollers
        for source, seconds in sources_of(config).items():
            pollers[source].poll_every(seconds)
        were, are = ([each.status for each in some.values()] for some in (before, pollers))
        context.exchange_watched(were, are)
        for status in were:
            context.refreshed.remove(status)
        context.refreshed.extend(are)
        tasks: dict[Hashable, Run] = {each: each.run for each in pollers.values()}
        self._tasks.use(tasks)
        self._publish_all()

    def _make(self, config: model.Config) -> Pollers:
        """Return what reads each table; those that are read already go on."""
        return {
            source: self.pollers.get(source) or self._make_poller(source, seconds)
            for source, seconds in sources_of(config).items()
        }

    def _make_poller(self, source: TableSource, seconds: float) -> TenantTablePoller:
        def publish() -> None:
            if self.pollers.get(source) is poller:  # and not one that is read for a reload
                self._publish_all()

        poller = TenantTablePoller(
            source, self._vault, poll_seconds=seconds, jitter=random.random, publish=publish
        )
        return poller

    def _publish_all(self) -> None:
        self._publish({source: each.table for source, each in self.pollers.items()})

    async def _refresh(self) -> None:
        await asyncio.gather(*(each.refresh() for each in self.pollers.values()))


def sources_of(config: model.Config) -> dict[TableSource, float]:
    """Return the tables that a configuration reads, and how often each, in seconds."""
    entries = (
        (each.issuer, None if each.claims is None else each.claims.tenant.tenants_from)
        for each in config.tokens.issuers
    )
    return {
        TableSource(issuer, entry.mount, entry.path): entry.poll_seconds or config.keys.poll_seconds
        for issuer, entry in entries
        if entry is not None
    }


async def start(
    context: AppContext, vault: KvReader, publish: Callable[[TenantTables], None]
) -> None:
    """Read the issuers' tables of tenants, and have ``publish`` called with each change."""
    await CurrentTenantTables(context, vault, publish).start()
