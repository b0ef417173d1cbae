"""Polls the keys that verify tokens and the revocations, and publishes them to the Checks."""

import logging
import random
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.context import AppContext
from sidecar.keys.jwks_https import JwksKeySource
from sidecar.keys.kv_source import KvKeySource
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.metrics import key_families, revocation_families
from sidecar.keys.refresher import KeyRefresher, KeyView, window_seconds
from sidecar.keys.revocation_poller import RevocationPoller
from sidecar.keys.revocation_source import KvRevocationSource
from sidecar.keys.sources import KeySource, TransitKeySource
from sidecar.observability.alerts import Alert, Alerts, Severity
from sidecar.tokens.revocation import Revocations
from sidecar.vault.client import VaultClient

_NAMED_SOURCES = 3

_log = logging.getLogger("sidecar.keys")


class KeyWords(NamedTuple):
    """The words of an alert about a polled source."""

    subject: str
    what: str
    setting: str


KEYS = KeyWords("signing-keys", "keys", "keys.max_age_seconds")
REVOCATIONS = KeyWords("revocations", "revocations", "keys.revocations.max_age_seconds")


class KeyPollers(NamedTuple):
    """The pollers of keys and of revocations."""

    keys: KeyRefresher
    revocations: RevocationPoller | None

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

    def refresh_soon(self) -> None:
        """Let the loops read at once (SIGHUP)."""
        self.keys.refresh_soon()
        if self.revocations is not None:
            self.revocations.refresh_soon()

    def start(self, context: AppContext) -> None:
        """Poll both until the drain."""
        context.spawn(self.keys.run())
        if self.revocations is not None:
            context.spawn(self.revocations.run())


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

    keys = _make_refresher(context, vault, alerts, take)

    def revoke(revocations: Revocations, state: KeyState) -> None:
        keys.revoke(revocations.kids)
        publish_revocations(revocations, state)

    pollers = KeyPollers(keys, _make_revocations(context, vault, alerts, revoke))
    with context.waits.on(_what_is_read(pollers)):
        await pollers.load()
    return pollers


def _what_is_read(pollers: KeyPollers) -> str:
    """Name the sources of keys and of revocations, as what the start waits for."""
    names = [each.name for each in pollers.keys.statuses]
    more = len(names) - _NAMED_SOURCES
    keys = f"the keys in {', '.join(names[:_NAMED_SOURCES])}"
    if more > 0:
        keys += f" and {more} more"
    return keys if pollers.revocations is None else f"{keys}, and the revocations"


def _make_refresher(
    context: AppContext, vault: VaultClient, alerts: Alerts, publish: Callable[[KeyView], None]
) -> KeyRefresher:
    config = context.config
    refresher = KeyRefresher(
        [_key_source(context, issuer, vault) for issuer in config.tokens.issuers],
        config.keys,
        token_seconds=config.tokens.token_seconds,
        clock=monotonic_seconds,
        now=wall_seconds,
        jitter=random.random,
        publish=publish,
        on_state=partial(_say_state, alerts, KEYS),
    )
    for source in refresher.statuses:
        context.watch(source.status)
    context.metrics.add_source(partial(key_families, refresher, monotonic_seconds))
    return refresher


def _make_revocations(
    context: AppContext,
    vault: VaultClient,
    alerts: Alerts,
    publish: Callable[[Revocations, KeyState], None],
) -> RevocationPoller | None:
    settings = context.config.keys.revocations
    if settings is None:
        return None
    keys = context.config.keys
    source = KvRevocationSource(
        settings,
        vault.with_own_threads("vault-revocations"),  # a long list holds up nothing else
        retention_seconds=context.config.tokens.token_seconds,
        now=wall_seconds,
        clock=monotonic_seconds,
    )
    context.stack.callback(source.close)
    max_age_seconds = settings.max_age_seconds
    poller = RevocationPoller(
        source,
        poll_seconds=settings.poll_seconds or keys.poll_seconds,
        max_age_seconds=keys.max_age_seconds if max_age_seconds is None else max_age_seconds,
        clock=monotonic_seconds,
        jitter=random.random,
        publish=publish,
        on_state=partial(_say_state, alerts, REVOCATIONS),
    )
    context.watch(poller.status)
    context.metrics.add_source(partial(revocation_families, poller, monotonic_seconds))
    return poller


def _key_source(
    context: AppContext, issuer: model.TokenIssuerSettings, vault: VaultClient
) -> KeySource:
    match issuer.keys:
        case model.VaultKvKeys():
            keys = context.config.keys
            window = window_seconds(keys, context.config.tokens.token_seconds)
            return KvKeySource(
                issuer.keys,
                issuer.issuer,
                vault,
                now=wall_seconds,
                retention_seconds=keys.poll_seconds + window,
            )
        case model.VaultTransitKeys():
            return TransitKeySource(issuer.keys, issuer.issuer, vault)
        case model.JwksKeys():
            source = JwksKeySource(issuer.keys, issuer.issuer)
            context.stack.callback(source.close)
            return source


def _say_state(
    alerts: Alerts, words: KeyWords, before: KeyState, after: KeyState, why: str
) -> None:
    """Send the alert for a change of state, if there is one."""
    match before, after:
        case KeyState.DEGRADED, KeyState.OUTAGE:
            return  # one of several sources works again; the alert of the end waits for the last
        case _, KeyState.DEGRADED:
            severity, message = Severity.CRITICAL, f"no refresh for {words.setting}: {why}"
        case _, KeyState.OUTAGE:
            severity, message = Severity.WARNING, f"{words.what} can't be refreshed: {why}"
        case ((KeyState.OUTAGE | KeyState.DEGRADED), KeyState.ACTIVE):
            severity, message = Severity.INFO, f"{words.what} are refreshed again"
        case _:
            return
    alerts.say(Alert(severity, words.subject, after, message))
