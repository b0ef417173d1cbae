"""psycopg 3: connections whose statements run for a tenant, in a transaction, or not at all.

::

    binder = TenantBinder.sealed("/run/secrets/tenant-key")
    pool = ConnectionPool(conninfo, connection_class=tenant_connection(binder), reset=reset_session)
    with pool.connection() as connection:            # AsyncConnectionPool and async_… alike
        connection.execute("SELECT * FROM contacts")

The guard is in the cursors, so ``cursor_factory`` must be one of theirs. A raw
``psycopg.Cursor(connection)`` is not guarded: without a tenant the policies show it nothing.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, ClassVar

import psycopg
from psycopg.pq import TransactionStatus

from workload.tenancy.context import TenancyFault
from workload.tenancy.postgres.binding import (
    RESET_SESSION,
    SET_PERCENT,
    BoundTransaction,
    NoTransaction,
    TenantBinder,
)

_HOW = "turn autocommit off, or use connection.transaction()"


class _Guard:
    """The state of one connection: which tenant its transaction is bound to."""

    def __init__(self, connection: "psycopg.BaseConnection[Any]", binder: TenantBinder) -> None:
        self._connection = connection
        self._binder = binder
        self.bound = BoundTransaction()

    def before_begin(self) -> None:
        """Find out whether a transaction may begin here. Raises ``TenancyFault``."""
        if self._connection.info.transaction_status == TransactionStatus.IDLE:
            self.bound.end()
        self.bound.needed()

    def to_set(self) -> tuple[str, tuple[str, str]] | None:
        """Return a tenant and its settings, where the transaction is to be told of it."""
        status = self._connection.info.transaction_status
        if status == TransactionStatus.IDLE:
            self.bound.end()
        needed = self.bound.needed()
        if status == TransactionStatus.IDLE and self._connection.autocommit:
            raise NoTransaction(_HOW)
        if needed is None or status == TransactionStatus.INERROR:
            return None  # PostgreSQL runs nothing in a failed transaction but its end
        return needed, self._binder.settings(needed)


class _Guarded:
    """Marks the cursors that ask first."""


class TenantCursor(_Guarded, psycopg.Cursor[Any]):
    """A cursor of ``TenantConnection``."""

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Run a statement. Raises ``TenancyFault``."""
        _bind(self.connection)
        return super().execute(*args, **kwargs)

    def executemany(self, *args: Any, **kwargs: Any) -> None:
        """Run a statement for many parameters. Raises ``TenancyFault``."""
        _bind(self.connection)
        super().executemany(*args, **kwargs)

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Run a statement and yield its rows as they come. Raises ``TenancyFault``."""
        _bind(self.connection)
        yield from super().stream(*args, **kwargs)

    @contextmanager
    def copy(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Run a COPY. Raises ``TenancyFault``."""
        _bind(self.connection)
        with super().copy(*args, **kwargs) as copying:
            yield copying


class TenantServerCursor(_Guarded, psycopg.ServerCursor[Any]):
    """A named cursor of ``TenantConnection``."""

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Declare the cursor. Raises ``TenancyFault``."""
        _bind(self.connection)
        return super().execute(*args, **kwargs)


class AsyncTenantCursor(_Guarded, psycopg.AsyncCursor[Any]):
    """A cursor of ``AsyncTenantConnection``."""

    async def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Run a statement. Raises ``TenancyFault``."""
        await _bind_async(self.connection)
        return await super().execute(*args, **kwargs)

    async def executemany(self, *args: Any, **kwargs: Any) -> None:
        """Run a statement for many parameters. Raises ``TenancyFault``."""
        await _bind_async(self.connection)
        await super().executemany(*args, **kwargs)

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Run a statement and yield its rows as they come. Raises ``TenancyFault``."""
        await _bind_async(self.connection)
        async for row in super().stream(*args, **kwargs):
            yield row

    @asynccontextmanager
    async def copy(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Run a COPY. Raises ``TenancyFault``."""
        await _bind_async(self.connection)
        async with super().copy(*args, **kwargs) as copying:
            yield copying


class AsyncTenantServerCursor(_Guarded, psycopg.AsyncServerCursor[Any]):
    """A named cursor of ``AsyncTenantConnection``."""

    async def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Declare the cursor. Raises ``TenancyFault``."""
        await _bind_async(self.connection)
        return await super().execute(*args, **kwargs)


class TenantConnection(psycopg.Connection[Any]):
    """A guarded connection; ``tenant_connection`` makes the class that knows its binder."""

    binder: ClassVar[TenantBinder]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.guard = _Guard(self, self.binder)
        self.cursor_factory = TenantCursor
        self.server_cursor_factory = TenantServerCursor

    @classmethod
    def connect(cls, *args: Any, **kwargs: Any) -> Any:
        """Connect, without prepared statements unless ``prepare_threshold`` is given.

        They have names in the session, which injected SQL can give to a statement of its own.
        """
        return super().connect(*args, **{"prepare_threshold": None, **kwargs})

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Return a cursor. Raises ``TenancyFault`` for a factory whose cursors are not guarded."""
        return _checked(super().cursor(*args, **kwargs))

    def commit(self) -> None:
        """Commit; the next transaction is bound again, in a pipeline too."""
        super().commit()
        self.guard.bound.end()

    def rollback(self) -> None:
        """Roll back."""
        super().rollback()
        self.guard.bound.end()

    @contextmanager
    def transaction(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Open a transaction or a savepoint, bound before anything that may roll it back."""
        self.guard.before_begin()
        with super().transaction(*args, **kwargs) as opened:
            _bind(self)
            yield opened


class AsyncTenantConnection(psycopg.AsyncConnection[Any]):
    """The same for asyncio; ``async_tenant_connection`` makes the class with its binder."""

    binder: ClassVar[TenantBinder]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.guard = _Guard(self, self.binder)
        self.cursor_factory = AsyncTenantCursor
        self.server_cursor_factory = AsyncTenantServerCursor

    @classmethod
    async def connect(cls, *args: Any, **kwargs: Any) -> Any:
        """Connect, without prepared statements unless ``prepare_threshold`` is given."""
        return await super().connect(*args, **{"prepare_threshold": None, **kwargs})

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Return a cursor. Raises ``TenancyFault`` for a factory whose cursors are not guarded."""
        return _checked(super().cursor(*args, **kwargs))

    async def commit(self) -> None:
        """Commit; the next transaction is bound again, in a pipeline too."""
        await super().commit()
        self.guard.bound.end()

    async def rollback(self) -> None:
        """Roll back."""
        await super().rollback()
        self.guard.bound.end()

    @asynccontextmanager
    async def transaction(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Open a transaction or a savepoint, bound before anything that may roll it back."""
        self.guard.before_begin()
        async with super().transaction(*args, **kwargs) as opened:
            await _bind_async(self)
            yield opened


def tenant_connection(binder: TenantBinder) -> type[TenantConnection]:
    """Return the class of connections for ``ConnectionPool(connection_class=…)``."""
    return type("BoundTenantConnection", (TenantConnection,), {"binder": binder})


def async_tenant_connection(binder: TenantBinder) -> type[AsyncTenantConnection]:
    """Return the class of connections for ``AsyncConnectionPool(connection_class=…)``."""
    return type("BoundAsyncTenantConnection", (AsyncTenantConnection,), {"binder": binder})


def reset_session(connection: psycopg.Connection[Any]) -> None:
    """Leave nothing in a session that goes back to its pool: ``ConnectionPool(reset=…)``.

    One more round trip. What injected SQL left there, such as ``SET search_path``, would meet
    the next tenant. Not through PgBouncer in transaction mode, which has sessions of its own.
    """
    autocommit = connection.autocommit
    connection.set_autocommit(True)
    psycopg.Cursor(connection).execute(RESET_SESSION)
    connection.set_autocommit(autocommit)


async def async_reset_session(connection: psycopg.AsyncConnection[Any]) -> None:
    """Do the same for ``AsyncConnectionPool(reset=…)``."""
    autocommit = connection.autocommit
    await connection.set_autocommit(True)
    await psycopg.AsyncCursor(connection).execute(RESET_SESSION)
    await connection.set_autocommit(autocommit)


def _bind(connection: Any) -> None:
    told = connection.guard.to_set()
    if told is not None:
        psycopg.Cursor(connection).execute(SET_PERCENT, told[1])
        connection.guard.bound.bind(told[0])


async def _bind_async(connection: Any) -> None:
    told = connection.guard.to_set()
    if told is not None:
        await psycopg.AsyncCursor(connection).execute(SET_PERCENT, told[1])
        connection.guard.bound.bind(told[0])


def _checked(cursor: Any) -> Any:
    if not isinstance(cursor, _Guarded):
        raise TenancyFault(
            f"{type(cursor).__name__} runs statements without asking for a tenant: derive "
            "cursor_factory from the cursors of workload.tenancy.postgres.psycopg3"
        )
    return cursor
