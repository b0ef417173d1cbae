"""What the routes use, and how it is made: databases, keys of sealed fields, passwords."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from examples.tenants.models import FIELD_KEYS, contact_scope, field_keys
from examples.tenants.settings import ExampleSettings
from workload.clock import monotonic_seconds
from workload.encryption import FieldKeySettings, Keyring, KeyScope, ScopeKeys
from workload.encryption.sql_key_store import SqlKeyStore
from workload.passwords import Passwords
from workload.settings import TokenFileLogin, VaultServer
from workload.tenancy.context import current_tenant
from workload.tenancy.postgres.binding import TenantBinder
from workload.tenancy.postgres.sqlalchemy2 import guard_engine, reset_sessions
from workload.vault.client import VaultApi
from workload.vault.transit import Transit


class KeysOfFields(Protocol):
    """``Keyring``, as far as the routes need it."""

    async def load(self, scope: KeyScope) -> ScopeKeys:
        """Have the keys of a scope in memory."""


class Services:
    """One for the process."""

    def __init__(
        self, orders: AsyncEngine, accounts: AsyncEngine, keys: KeysOfFields, passwords: Passwords
    ) -> None:
        self.passwords = passwords
        self.accounts = async_sessionmaker(accounts, expire_on_commit=False)
        self._orders = async_sessionmaker(orders, expire_on_commit=False)
        self._keys = keys

    @asynccontextmanager
    async def orders(self) -> AsyncIterator[AsyncSession]:
        """Begin a transaction on the orders of the request's tenant, committed at the end.

        The tenant's keys are loaded first: an attribute of the ORM can't wait for Vault. Raises
        ``TenantUnknown`` where the request has no tenant.
        """
        scope = contact_scope(current_tenant().tenant_id)
        await self._keys.load(scope)
        await self._keys.load(scope.for_index())
        async with self._orders.begin() as session:
            yield session


@asynccontextmanager
async def open_services(settings: ExampleSettings) -> AsyncIterator[Services]:
    """Connect to everything, and leave nothing behind."""
    orders = create_async_engine(settings.orders_url, pool_pre_ping=True)
    guard_engine(orders.sync_engine, TenantBinder.sealed(settings.seal_key_file))
    reset_sessions(orders.sync_engine)
    accounts = create_async_engine(settings.accounts_url, pool_pre_ping=True)
    vault = VaultServer(settings.vault_address, TokenFileLogin(settings.vault_token_file))
    keyring = Keyring(
        SqlKeyStore(accounts, FIELD_KEYS),
        Transit(VaultApi(vault, monotonic_seconds)),
        FieldKeySettings(kek=settings.kek),
    )
    field_keys.use(keyring.loaded)
    try:
        yield Services(orders, accounts, keyring, Passwords())
    finally:
        await keyring.aclose()
        await orders.dispose()
        await accounts.dispose()


def services_of(request: Request) -> Services:
    """Return the services of the application that a request came to."""
    return cast("Services", request.app.state.services)


ServicesOf = Annotated[Services, Depends(services_of)]
