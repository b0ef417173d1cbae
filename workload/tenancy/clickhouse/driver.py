"""clickhouse-connect: a client whose every query is guarded and runs as the tenant, or not at all.

::

    client = clickhouse_connect.get_client(host="ch.example", secure=True,
                                           autogenerate_session_id=False)
    clickhouse = TenantClickHouse.sealed(client, guard, TenantLogins.of_file(path, "orders_app"))
    clickhouse.query("SELECT count() FROM visits WHERE day = {day:Date}", {"day": today})

``sealed`` sends each request as the tenant's own user, whose setting the server has pinned.
``unsealed`` sends the setting with the client's user: the policies then hold back mistakes, and
whoever can send SQL past the guard sets the tenant that he wants. Only what stands here is
offered: a raw client's other methods know no tenant.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from workload.tenancy.clickhouse.guard.queries import QueryGuard
from workload.tenancy.clickhouse.logins import TenantLogins
from workload.tenancy.clickhouse.requests import TenantRequests

Values = Mapping[str, Any] | None


class _Guarded:
    def __init__(self, client: Any, requests: TenantRequests) -> None:
        self._client = client
        self._requests = requests

    @classmethod
    def sealed(cls, client: Any, guard: QueryGuard, logins: TenantLogins) -> Self:
        """Guard a client whose requests are sent as tenants' users. Raises ``ClientUnfit``."""
        return cls(client, TenantRequests(client, guard, logins))

    @classmethod
    def unsealed(cls, client: Any, guard: QueryGuard) -> Self:
        """Guard a client of one user. Raises ``ClientUnfit``."""
        return cls(client, TenantRequests(client, guard, None))


class TenantClickHouse(_Guarded):
    """A blocking client. Each method raises ``TenancyFault``, and what the driver raises."""

    def query(self, sql: str, parameters: Values = None, settings: Values = None) -> Any:
        """Return the driver's ``QueryResult``."""
        text, arguments = self._requests.query(sql, parameters, settings)
        return self._client.query(text, **arguments)

    def query_rows_stream(
        self, sql: str, parameters: Values = None, settings: Values = None
    ) -> Any:
        """Return the driver's stream of rows, a context manager."""
        text, arguments = self._requests.query(sql, parameters, settings)
        return self._client.query_rows_stream(text, **arguments)

    def query_df(self, sql: str, parameters: Values = None, settings: Values = None) -> Any:
        """Return a data frame; needs pandas."""
        text, arguments = self._requests.query(sql, parameters, settings)
        return self._client.query_df(text, **arguments)

    def command(self, sql: str, parameters: Values = None, settings: Values = None) -> Any:
        """Run a statement of one value, or ``INSERT … SELECT``."""
        text, arguments = self._requests.query(sql, parameters, settings)
        return self._client.command(text, **arguments)

    def insert(
        self,
        table: str,
        rows: Iterable[Sequence[Any]],
        column_names: Sequence[str],
        column_type_names: Sequence[str] | None = None,
        settings: Values = None,
    ) -> Any:
        """Insert rows without their tenant, which is added."""
        return self._client.insert(
            **self._requests.insert(table, rows, column_names, column_type_names, settings)
        )


class AsyncTenantClickHouse(_Guarded):
    """The same for ``clickhouse_connect.get_async_client``."""

    async def query(self, sql: str, parameters: Values = None, settings: Values = None) -> Any:
        """Return the driver's ``QueryResult``."""
        text, arguments = self._requests.query(sql, parameters, settings)
        return await self._client.query(text, **arguments)

    async def query_rows_stream(
        self, sql: str, parameters: Values = None, settings: Values = None
    ) -> Any:
        """Return the driver's stream of rows, an asynchronous context manager."""
        text, arguments = self._requests.query(sql, parameters, settings)
        return await self._client.query_rows_stream(text, **arguments)

    async def query_df(self, sql: str, parameters: Values = None, settings: Values = None) -> Any:
        """Return a data frame; needs pandas."""
        text, arguments = self._requests.query(sql, parameters, settings)
        return await self._client.query_df(text, **arguments)

    async def command(self, sql: str, parameters: Values = None, settings: Values = None) -> Any:
        """Run a statement of one value, or ``INSERT … SELECT``."""
        text, arguments = self._requests.query(sql, parameters, settings)
        return await self._client.command(text, **arguments)

    async def insert(
        self,
        table: str,
        rows: Iterable[Sequence[Any]],
        column_names: Sequence[str],
        column_type_names: Sequence[str] | None = None,
        settings: Values = None,
    ) -> Any:
        """Insert rows without their tenant, which is added."""
        return await self._client.insert(
            **self._requests.insert(table, rows, column_names, column_type_names, settings)
        )
