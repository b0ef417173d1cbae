"""Vault, and the keys and revocations that come from it."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from functools import partial

from sidecar.alerts import Alert, Alerts, Severity
from sidecar.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.keys.jwks_https import JwksKeySource
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.refresher import KeyRefresher, KeyView
from sidecar.keys.revocation_source import KvRevocationSource
from sidecar.keys.sources import KeySource, KvKeySource, TransitKeySource
from sidecar.numbers import key_families, vault_families
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultFault
from sidecar.wiring.lifespan import Lifespan

_LOGIN_CHECK_SECONDS = 20.0


async def start_vault(life: Lifespan) -> VaultClient:
    """Log in to Vault and stay logged in; raises ``VaultFault``."""
    vault = VaultClient(
        life.config.vault, clock=monotonic_seconds, observe=life.metrics.count_vault_call
    )
    life.stack.push_async_callback(vault.close)
    life.metrics.add_source(lambda: vault_families(vault.token_expires_at, monotonic_seconds()))
    await vault.login()
    life.spawn(_keep_logged_in(vault))
    return vault


def make_refresher(
    life: Lifespan, vault: VaultClient, alerts: Alerts, publish: Callable[[KeyView], None]
) -> KeyRefresher:
    """Build the loop that keeps the keys fresh, and ``publish`` them to those who check."""
    config = life.config

    def take(view: KeyView) -> None:
        life.health.facts["keys"] = view.state
        publish(view)

    revocations = config.keys.revocations
    refresher = KeyRefresher(
        [_key_source(life, issuer, vault) for issuer in config.tokens.issuers],
        None if revocations is None else KvRevocationSource(revocations, vault),
        config.keys,
        token_seconds=config.tokens.max_lifetime_seconds + config.tokens.leeway_seconds,
        clock=monotonic_seconds,
        now=wall_seconds,
        jitter=random.random,
        publish=take,
        on_state=partial(_say_key_state, alerts),
    )
    life.metrics.add_source(partial(key_families, refresher, monotonic_seconds))
    return refresher


def _key_source(life: Lifespan, issuer: model.Issuer, vault: VaultClient) -> KeySource:
    match issuer.keys:
        case model.VaultKvKeys():
            return KvKeySource(issuer.keys, issuer.issuer, vault)
        case model.VaultTransitKeys():
            return TransitKeySource(issuer.keys, issuer.issuer, vault)
        case model.JwksKeys():
            source = JwksKeySource(issuer.keys, issuer.issuer)
            life.stack.callback(source.close)
            return source


def _say_key_state(alerts: Alerts, before: KeyState, after: KeyState, why: str) -> None:
    """Turn a change of the keys' state into the alert it is, if it is one."""
    match before, after:
        case KeyState.DEGRADED, KeyState.OUTAGE:
            return  # one source of several is back; the all-clear waits for the last
        case _, KeyState.DEGRADED:
            severity, message = Severity.CRITICAL, f"no refresh for keys.max_age_seconds: {why}"
        case _, KeyState.OUTAGE:
            severity, message = Severity.WARNING, f"keys can't be refreshed: {why}"
        case ((KeyState.OUTAGE | KeyState.DEGRADED), KeyState.ACTIVE):
            severity, message = Severity.INFO, "keys are refreshed again"
        case _:
            return
    alerts.say(Alert(severity, "signing-keys", after, message))


async def _keep_logged_in(vault: VaultClient) -> None:
    """Renew our token when that is due, where no other call comes by to do it."""
    while True:
        await asyncio.sleep(_LOGIN_CHECK_SECONDS)
        with contextlib.suppress(VaultFault):  # counted by its observer; the next call says it
            await vault.login()
