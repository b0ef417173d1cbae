"""asyncpg: connections whose statements run for a tenant, in a transaction, or not at all.

::

    pool = await asyncpg.create_pool(dsn, connection_class=tenant_asyncpg_connection(binder))
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetch("SELECT * FROM contacts")

asyncpg runs a statement outside ``transaction()`` on its own; that is refused, ``pool.fetch``
too. A statement that was prepared runs for the tenant of the transaction it runs in.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import asyncpg
from asyncpg.transaction import Transaction

from workload.tenancy.postgres.binding import (
    SET_DOLLAR,
    BoundTransaction,
    NoTransaction,
    TenantBinder,
)

_ours: ContextVar[bool] = ContextVar("septem_asyncpg_ours", default=False)


class TenantTransaction(Transaction):
    """A transaction, or savepoint, of ``TenantAsyncpgConnection``."""

    def __init__(self, connection: "TenantAsyncpgConnection", **options: Any) -> None:
        super().__init__(connection, **options)
        self._guarded = connection

    async def start(self) -> None:
        """Begin, and tell the database for whom. Raises ``TenancyFault``."""
        self._guarded.expect_tenant()
        with _by_ourselves():
            await super().start()
            try:
                await self._guarded.tell_tenant()
            except BaseException:
                await super().rollback()
                raise

    async def commit(self) -> None:
        """Commit."""
        with _by_ourselves():
            await super().commit()

    async def rollback(self) -> None:
        """Roll back."""
        with _by_ourselves():
            await super().rollback()

    async def __aexit__(self, *raised: object) -> None:
        """Commit, or roll back after an exception; in whichever scope the block has ended."""
        with _by_ourselves():
            await super().__aexit__(*raised)


class TenantAsyncpgConnection(asyncpg.Connection):
    """A guarded connection; ``tenant_asyncpg_connection`` makes the class with its binder."""

    __slots__ = ("_bound",)
    binder: ClassVar[TenantBinder]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # No cache of prepared statements: in a session they have names, which injected SQL can
        # give to a statement of its own, and the next tenant would run that.
        protocol, transport, loop, address, config, *rest = args
        config = config._replace(statement_cache_size=0)
        super().__init__(protocol, transport, loop, address, config, *rest, **kwargs)
        self._bound = BoundTransaction()

    def transaction(self, **kwargs: Any) -> Any:
        """Return a transaction that is begun by ``async with`` or ``start``."""
        return TenantTransaction(self, **_options(kwargs))

    def expect_tenant(self) -> None:
        """Find out whether a transaction may begin here. Raises ``TenancyFault``."""
        if not self.is_in_transaction():
            self._bound.end()
        self._bound.needed()

    async def tell_tenant(self) -> None:
        """Set the tenant for the transaction, where it is not yet."""
        needed = self._bound.needed()
        if needed is not None:
            await super().execute(SET_DOLLAR, *self.binder.settings(needed))
            self._bound.bind(needed)

    async def _admit(self) -> None:
        if _ours.get():
            return
        self.expect_tenant()
        if not self.is_in_transaction():
            raise NoTransaction("use async with connection.transaction()")
        await self.tell_tenant()

    async def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Run statements. Raises ``TenancyFault``, as the methods below do."""
        await self._admit()
        return await super().execute(*args, **kwargs)

    async def executemany(self, *args: Any, **kwargs: Any) -> Any:
        """Run a statement for many arguments."""
        await self._admit()
        return await super().executemany(*args, **kwargs)

    async def fetch(self, *args: Any, **kwargs: Any) -> Any:
        """Return all rows."""
        await self._admit()
        return await super().fetch(*args, **kwargs)

    async def fetchrow(self, *args: Any, **kwargs: Any) -> Any:
        """Return the first row."""
        await self._admit()
        return await super().fetchrow(*args, **kwargs)

    async def fetchval(self, *args: Any, **kwargs: Any) -> Any:
        """Return one value."""
        await self._admit()
        return await super().fetchval(*args, **kwargs)

    async def fetchmany(self, *args: Any, **kwargs: Any) -> Any:
        """Return the rows of a statement for many arguments."""
        await self._admit()
        return await super().fetchmany(*args, **kwargs)

    async def prepare(self, *args: Any, **kwargs: Any) -> Any:
        """Prepare a statement."""
        await self._admit()
        return await super().prepare(*args, **kwargs)

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Return a cursor; the transaction it needs is bound since it began."""
        self.expect_tenant()
        if not self.is_in_transaction():
            raise NoTransaction("use async with connection.transaction()")
        return super().cursor(*args, **kwargs)

    async def copy_from_table(self, *args: Any, **kwargs: Any) -> Any:
        """Copy a table out."""
        await self._admit()
        return await super().copy_from_table(*args, **kwargs)

    async def copy_from_query(self, *args: Any, **kwargs: Any) -> Any:
        """Copy a query's rows out."""
        await self._admit()
        return await super().copy_from_query(*args, **kwargs)

    async def copy_to_table(self, *args: Any, **kwargs: Any) -> Any:
        """Copy into a table."""
        await self._admit()
        return await super().copy_to_table(*args, **kwargs)

    async def copy_records_to_table(self, *args: Any, **kwargs: Any) -> Any:
        """Copy records into a table."""
        await self._admit()
        return await super().copy_records_to_table(*args, **kwargs)

    async def reset(self, **kwargs: Any) -> None:
        """Leave nothing of a tenant in the session, as its pool does on release."""
        with _by_ourselves():
            await super().reset(**kwargs)


def tenant_asyncpg_connection(binder: TenantBinder) -> type[TenantAsyncpgConnection]:
    """Return the class of connections for ``create_pool(connection_class=…)``."""
    return type("BoundTenantAsyncpgConnection", (TenantAsyncpgConnection,), {"binder": binder})


@contextmanager
def _by_ourselves() -> Iterator[None]:
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)


def _options(given: dict[str, Any]) -> dict[str, Any]:
    return {"isolation": None, "readonly": False, "deferrable": False} | given
