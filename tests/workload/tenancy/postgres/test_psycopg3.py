"""psycopg: no statement without a tenant, none outside a transaction, no row of another's."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from tests.support.tenancy_world import TENANTS, A, B, TenancyWorld, context_of
from workload.tenancy.context import TenancyFault, TenantUnknown, tenant, without_tenant
from workload.tenancy.postgres.binding import NoTransaction, TenantChanged
from workload.tenancy.postgres.psycopg3 import (
    AsyncTenantConnection,
    TenantConnection,
    async_reset_session,
    async_tenant_connection,
    reset_session,
    tenant_connection,
)

TRANSACTIONS = 1000
MINE = "SELECT DISTINCT tenant_id::text FROM contacts"


@pytest.fixture
def connection(world: TenancyWorld) -> Iterator[TenantConnection]:
    with tenant_connection(world.binder).connect(world.url) as made:
        yield made
        made.rollback()


@pytest.fixture
async def connection_async(world: TenancyWorld) -> AsyncIterator[AsyncTenantConnection]:
    async with await async_tenant_connection(world.binder).connect(world.url) as made:
        yield made
        await made.rollback()


def copied(connection: TenantConnection) -> list[Any]:
    with connection.cursor().copy(f"COPY ({MINE}) TO STDOUT") as copy:
        return [bytes(each).decode().strip() for each in copy]


def named(connection: TenantConnection) -> list[Any]:
    with connection.cursor("named") as cursor:
        return [row[0] for row in cursor.execute(MINE)]


def many(connection: TenantConnection) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.executemany(MINE + " WHERE id > %s", [(0,)], returning=True)
        return [row[0] for row in cursor.fetchall()]


def pipelined(connection: TenantConnection) -> list[Any]:
    with connection.pipeline():
        first = connection.execute(MINE)
        second = connection.execute(MINE)
        connection.commit()
        third = connection.execute(MINE)
    found = [row[0] for cursor in (first, second, third) for row in cursor.fetchall()]
    return sorted(set(found)) if len(found) == 3 else found


WAYS: dict[str, Callable[[TenantConnection], list[Any]]] = {
    "execute": lambda it: [row[0] for row in it.execute(MINE)],
    "cursor": lambda it: [row[0] for row in it.cursor().execute(MINE).fetchall()],
    "stream": lambda it: [row[0] for row in it.cursor().stream(MINE)],
    "copy": copied,
    "named": named,
    "executemany": many,
    "pipeline": pipelined,
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_sees_its_tenant_and_none_without(connection: TenantConnection, way: str) -> None:
    with pytest.raises(TenantUnknown):
        WAYS[way](connection)
    with tenant(context_of(A)):
        assert WAYS[way](connection) == [A]
    connection.rollback()
    with without_tenant("the test of no tenant"):
        assert WAYS[way](connection) == []
    connection.rollback()
    with tenant(context_of(B)), connection.transaction():
        assert WAYS["execute"](connection) == [B]
    connection.set_autocommit(True)
    with tenant(context_of(A)), pytest.raises(NoTransaction):
        WAYS[way](connection)


ASYNC_WAYS = ("execute", "stream", "copy", "named", "executemany")


async def seen(connection: AsyncTenantConnection, way: str) -> list[str]:
    if way == "copy":
        async with connection.cursor().copy(f"COPY ({MINE}) TO STDOUT") as copy:
            return [bytes(each).decode().strip() async for each in copy]
    if way == "stream":
        return [row[0] async for row in connection.cursor().stream(MINE)]
    async with connection.cursor("named") if way == "named" else connection.cursor() as cursor:
        if way == "executemany":
            await cursor.executemany(MINE + " WHERE id > %s", [(0,)], returning=True)
        else:
            await cursor.execute(MINE)
        return [row[0] for row in await cursor.fetchall()]


@pytest.mark.parametrize("way", ASYNC_WAYS)
async def test_each_async_way_too(connection_async: AsyncTenantConnection, way: str) -> None:
    with pytest.raises(TenantUnknown):
        await seen(connection_async, way)
    with tenant(context_of(A)):
        assert await seen(connection_async, way) == [A]
    await connection_async.commit()
    with tenant(context_of(B)):
        async with connection_async.transaction():
            assert await seen(connection_async, way) == [B]
    await connection_async.set_autocommit(True)
    with tenant(context_of(A)), pytest.raises(NoTransaction):
        await seen(connection_async, way)


def test_a_transaction_keeps_its_tenant(connection: TenantConnection) -> None:
    with tenant(context_of(A)), connection.transaction():
        with connection.transaction(force_rollback=True):
            assert WAYS["execute"](connection) == [A]
        assert WAYS["execute"](connection) == [A]
        with tenant(context_of(B)):
            with pytest.raises(TenantChanged):
                connection.execute(MINE)
            with pytest.raises(TenantChanged), connection.transaction():
                pass
        with without_tenant("inside a tenant's"), pytest.raises(TenantChanged):
            connection.execute(MINE)
    with tenant(context_of(B)), connection.transaction():
        assert WAYS["execute"](connection) == [B]


def test_autocommit_needs_a_transaction_of_its_own(connection: TenantConnection) -> None:
    connection.set_autocommit(True)
    with tenant(context_of(A)):
        for _ in range(2):
            with connection.transaction():
                assert WAYS["execute"](connection) == [A]
        with pytest.raises(NoTransaction):
            connection.execute("BEGIN")
    with pytest.raises(TenantUnknown), connection.transaction():
        pass


def test_a_transaction_that_sql_ended_shows_nothing(connection: TenantConnection) -> None:
    with tenant(context_of(A)):
        connection.execute("COMMIT; BEGIN")
        assert WAYS["execute"](connection) == []
        connection.execute("COMMIT")
        assert WAYS["execute"](connection) == [A]


def test_other_cursors_are_refused(connection: TenantConnection) -> None:
    connection.cursor_factory = psycopg.ClientCursor
    with tenant(context_of(A)), pytest.raises(TenancyFault, match="ClientCursor"):
        connection.execute(MINE)


def test_the_raw_connection_shows_nothing_after_a_transaction(connection: TenantConnection) -> None:
    with tenant(context_of(A)), connection.transaction():
        connection.execute("SELECT 1")
    connection.set_autocommit(True)
    assert psycopg.Cursor(connection).execute(MINE).fetchall() == []


def test_a_seal_is_never_part_of_a_statement(
    connection: TenantConnection, world: TenancyWorld
) -> None:
    with tenant(context_of(A)):
        connection.execute(MINE)
        with world.server.connect() as other:
            asked = "SELECT query FROM pg_stat_activity WHERE usename = %s"
            shown = str(other.execute(asked, (world.role,)).fetchall())
    assert world.key.kid not in shown


def test_no_statement_keeps_a_name_that_injected_sql_could_take(
    connection: TenantConnection,
) -> None:
    with tenant(context_of(A)):
        for _ in range(12):
            connection.execute(MINE)
        found = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchall()
    assert found == [(0,)]


async def test_nor_does_one_in_asyncio(connection_async: AsyncTenantConnection) -> None:
    with tenant(context_of(A)):
        for _ in range(12):
            await connection_async.execute(MINE)
        asked = await connection_async.execute("SELECT count(*) FROM pg_prepared_statements")
        assert await asked.fetchall() == [(0,)]


def test_a_thousand_transactions_of_ten_tenants_in_threads(world: TenancyWorld) -> None:
    def one(number: int) -> bool:
        tenant_id = TENANTS[number % 10]
        with tenant(context_of(tenant_id)), pool.connection() as connection:
            rows = [row[0] for row in connection.execute(MINE).fetchall()]
            if number % 7 == 0:
                connection.execute(f"SET search_path = pg_temp; SET app.tenant_id = '{A}'")
            if number % 5 == 0:
                connection.rollback()
                rows += [row[0] for row in connection.execute("SELECT 1").fetchall()][1:]
        return rows == [tenant_id]

    kind = tenant_connection(world.binder)
    with (
        ConnectionPool(
            world.url, connection_class=kind, min_size=3, max_size=3, reset=reset_session
        ) as pool,
        ThreadPoolExecutor(8) as threads,
    ):
        assert all(threads.map(one, range(TRANSACTIONS)))


async def test_a_thousand_transactions_of_ten_tenants_in_tasks(world: TenancyWorld) -> None:
    async def one(number: int) -> bool:
        tenant_id = TENANTS[number % 10]
        with tenant(context_of(tenant_id)):
            async with pool.connection() as connection:
                cursor = await connection.execute(MINE)
                rows = await cursor.fetchall()
                await asyncio.sleep(0)
                cursor = await connection.execute(MINE)
                rows += await cursor.fetchall()
        return rows == [(tenant_id,)] * 2

    kind = async_tenant_connection(world.binder)
    async with AsyncConnectionPool(
        world.url, connection_class=kind, min_size=3, max_size=3, timeout=60, open=False,
        reset=async_reset_session,
    ) as pool:  # fmt: skip
        assert all(await asyncio.gather(*map(one, range(TRANSACTIONS))))
