"""The client of Vault, logged in, for all components."""

import asyncio
import logging
import random

from sidecar.common.clock import monotonic_seconds
from sidecar.common.polling import PollStatus
from sidecar.context import AppContext
from sidecar.observability.panel import Ask, Panel
from sidecar.vault.client import VaultClient
from sidecar.vault.metrics import vault_families
from sidecar.vault.panel import VaultView, vault_panel
from workload.backoff import with_jitter

_LOGIN_CHECK_SECONDS = 20.0

_log = logging.getLogger("sidecar.vault")


async def start(context: AppContext) -> VaultClient:
    """Log in to Vault and keep the login alive. Raises ``VaultFault``."""
    vault = VaultClient(
        context.config.vault, clock=monotonic_seconds, observe=context.metrics.count_vault_call
    )
    context.stack.push_async_callback(vault.close)
    context.metrics.add_source(lambda: vault_families(vault.token_expires_at, monotonic_seconds()))
    with context.waits.on(f"Vault at {context.config.vault.address} to log in"):
        await vault.login()
    status = PollStatus("vault_login", "the login to Vault", _log, kept="our token lives on")
    context.watch(status)

    def show(ask: Ask) -> Panel:
        settings, now = context.config.vault, monotonic_seconds()
        return vault_panel(VaultView(settings, vault.contact, vault.lease, status, now), ask)

    context.panels["vault"] = show
    context.spawn(_keep_logged_in(vault, status))
    return vault


async def _keep_logged_in(vault: VaultClient, status: PollStatus) -> None:
    """Renew the token when that is due, if no other call does."""
    while True:
        await asyncio.sleep(with_jitter(_LOGIN_CHECK_SECONDS, random.random()))  # noqa: S311
        with status.poll():
            await vault.login()
