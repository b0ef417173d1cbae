"""asyncpg: no statement without a tenant, none outside a transaction, no row of another's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from io import BytesIO
from typing import Any

import asyncpg
import pytest

from tests.support.tenancy_world import TENANTS, A, B, TenancyWorld, context_of
from workload.tenancy.context import TenantUnknown, tenant, without_tenant
from workload.tenancy.postgres.asyncpg_pool import (
    TenantAsyncpgConnection,
    tenant_asyncpg_connection,
)
from workload.tenancy.postgres.binding import NoTransaction, TenantChanged

TRANSACTIONS = 1000
MINE = "SELECT DISTINCT tenant_id::text FROM contacts"


@pytest.fixture
async def connection(world: TenancyWorld) -> AsyncIterator[Any]:
    made = await asyncpg.connect(
        host=str(world.server.folder), user=world.role, database=world.database,
        connection_class=tenant_asyncpg_connection(world.binder),
    )  # fmt: skip
    yield made
    await made.close()


async def values(rows: Awaitable[Any]) -> list[Any]:
    return [row[0] for row in await rows]


async def copied(connection: Any) -> list[Any]:
    into = BytesIO()
    await connection.copy_from_query(MINE, output=into)
    return into.getvalue().decode().split()


async def one_value(connection: Any) -> list[Any]:
    found = await connection.fetchval(MINE)
    return [] if found is None else [found]


async def one_row(connection: Any) -> list[Any]:
    found = await connection.fetchrow(MINE)
    return [] if found is None else [found[0]]


async def prepared(connection: Any) -> list[Any]:
    return await values((await connection.prepare(MINE)).fetch())


async def by_cursor(connection: Any) -> list[Any]:
    return [row[0] async for row in connection.cursor(MINE)]


async def many(connection: Any) -> list[Any]:
    return await values(connection.fetchmany(MINE + " WHERE id > $1", [(0,)]))


async def copied_table(connection: Any) -> list[Any]:
    into = BytesIO()
    await connection.copy_from_table("contacts", columns=["tenant_id"], output=into)
    return into.getvalue().decode().split()


WAYS: dict[str, Callable[[Any], Awaitable[list[Any]]]] = {
    "fetch": lambda it: values(it.fetch(MINE)),
    "fetchval": one_value,
    "fetchrow": one_row,
    "prepare": prepared,
    "cursor": by_cursor,
    "copy of a query": copied,
    "copy of a table": copied_table,
    "fetchmany": many,
}


@pytest.mark.parametrize("way", WAYS)
async def test_each_way_sees_its_tenant_and_none_without(
    connection: TenantAsyncpgConnection, way: str
) -> None:
    with pytest.raises(TenantUnknown):
        await WAYS[way](connection)
    with tenant(context_of(A)):
        with pytest.raises(NoTransaction):
            await WAYS[way](connection)
        async with connection.transaction():
            assert await WAYS[way](connection) == [A]
            with tenant(context_of(B)), pytest.raises(TenantChanged):
                await WAYS[way](connection)
    with without_tenant("the test of no tenant"):
        async with connection.transaction():
            assert await WAYS[way](connection) == []
    with tenant(context_of(B)):
        async with connection.transaction():
            assert await WAYS[way](connection) == [B]


@pytest.mark.parametrize(
    "write",
    [
        lambda it: it.execute("DELETE FROM contacts"),
        lambda it: it.executemany("DELETE FROM contacts WHERE id = $1", [(1,)]),
        lambda it: it.copy_records_to_table("contacts", records=[(A, "x")]),
        lambda it: it.copy_to_table("contacts", source=BytesIO(b"")),
    ],
    ids=["execute", "executemany", "records", "copy"],
)
async def test_no_way_writes_without(
    connection: TenantAsyncpgConnection, write: Callable[[Any], Awaitable[Any]]
) -> None:
    with pytest.raises(TenantUnknown):
        await write(connection)
    with tenant(context_of(A)), pytest.raises(NoTransaction):
        await write(connection)


async def test_a_savepoint_that_is_rolled_back_keeps_the_tenant(
    connection: TenantAsyncpgConnection,
) -> None:
    with tenant(context_of(A)):
        async with connection.transaction():
            with pytest.raises(ZeroDivisionError):
                async with connection.transaction():
                    raise ZeroDivisionError
            assert await WAYS["fetch"](connection) == [A]
            with tenant(context_of(B)), pytest.raises(TenantChanged):
                await connection.transaction().start()
    with pytest.raises(TenantUnknown):
        await connection.transaction().start()
    assert not connection.is_in_transaction()


async def test_no_statement_keeps_a_name_that_injected_sql_could_take(
    connection: TenantAsyncpgConnection,
) -> None:
    with tenant(context_of(A)):
        async with connection.transaction():
            for _ in range(3):
                await connection.fetch(MINE + " WHERE id > $1", 0)
            assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0


async def test_a_transaction_ends_in_whatever_scope(connection: TenantAsyncpgConnection) -> None:
    with tenant(context_of(A)):
        kept, undone = connection.transaction(), connection.transaction()
        await kept.start()
    await kept.commit()
    with tenant(context_of(A)):
        await undone.start()
    await undone.rollback()
    assert not connection.is_in_transaction()


async def test_a_thousand_transactions_of_ten_tenants(world: TenancyWorld) -> None:
    async def one(number: int) -> bool:
        tenant_id = TENANTS[number % 10]
        with tenant(context_of(tenant_id)):
            async with pool.acquire() as connection, connection.transaction():
                rows = await connection.fetch(MINE)
                await asyncio.sleep(0)
                if number % 7 == 0:
                    await connection.execute(f"SET app.tenant_id = '{A}'")
                rows += await connection.fetch(MINE) if number % 7 else rows
        return [row[0] for row in rows] == [tenant_id] * 2

    async with asyncpg.create_pool(
        host=str(world.server.folder), user=world.role, database=world.database,
        connection_class=tenant_asyncpg_connection(world.binder), min_size=3, max_size=3,
    ) as pool:  # fmt: skip
        with tenant(context_of(A)), pytest.raises(NoTransaction):
            await pool.fetch(MINE)
        assert all(await asyncio.gather(*map(one, range(TRANSACTIONS))))
