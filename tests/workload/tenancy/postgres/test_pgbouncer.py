"""PgBouncer in transaction mode: two sessions of PostgreSQL, many clients, no row of another's."""

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from demo.process import ManagedProcess, ProcessFault, find_program
from tests.support.tenancy_world import TENANTS, A, TenancyWorld, context_of
from workload.tenancy.context import tenant
from workload.tenancy.postgres.asyncpg_pool import tenant_asyncpg_connection
from workload.tenancy.postgres.psycopg3 import tenant_connection

PORT = 6432  # a part of a socket's name
TRANSACTIONS = 300
MINE = "SELECT DISTINCT tenant_id::text FROM contacts"


@pytest.fixture(scope="module")
def bouncer(world: TenancyWorld) -> Iterator[Path]:
    """The folder of its socket."""
    with TemporaryDirectory(prefix="pb") as name:
        folder = Path(name)
        folder.chmod(0o777)
        (folder / "users").write_text(f'"{world.role}" ""\n')
        user = "user = nobody" if os.geteuid() == 0 else ""
        (folder / "ini").write_text(
            f"[databases]\n* = host={world.server.folder}\n[pgbouncer]\nlisten_addr =\n"
            f"listen_port = {PORT}\nunix_socket_dir = {folder}\nauth_type = trust\n"
            f"auth_file = {folder}/users\npool_mode = transaction\ndefault_pool_size = 2\n{user}\n"
        )
        try:
            program = find_program("pgbouncer", "pgbouncer (Debian's; tools/get-pgbouncer)")
        except ProcessFault as missing:
            pytest.skip(str(missing))
        with ManagedProcess("pgbouncer", [program, str(folder / "ini")]) as process:
            process.wait_until((folder / f".s.PGSQL.{PORT}").exists, 20)
            yield folder


def test_threads_share_two_sessions(world: TenancyWorld, bouncer: Path) -> None:
    def one(number: int) -> tuple[bool, int]:
        tenant_id = TENANTS[number % 10]
        with tenant(context_of(tenant_id)), pool.connection() as connection:
            rows = connection.execute(MINE).fetchall()
            ((backend,),) = connection.execute("SELECT pg_backend_pid()").fetchall()
            if number % 7 == 0:
                connection.execute(f"SET app.tenant_id = '{A}'")
        return rows == [(tenant_id,)], backend

    url = psycopg.conninfo.make_conninfo(world.url, host=str(bouncer), port=PORT)
    with (
        ConnectionPool(
            url, connection_class=tenant_connection(world.binder), min_size=6, max_size=6
        ) as pool,
        ThreadPoolExecutor(6) as threads,
    ):
        found = list(threads.map(one, range(TRANSACTIONS)))
    assert all(right for right, _ in found)
    assert len({backend for _, backend in found}) <= 2


async def test_tasks_share_two_sessions(world: TenancyWorld, bouncer: Path) -> None:
    async def one(number: int) -> bool:
        tenant_id = TENANTS[number % 10]
        with tenant(context_of(tenant_id)):
            async with pool.acquire() as connection, connection.transaction():
                rows = await connection.fetch(MINE)
        return [row[0] for row in rows] == [tenant_id]

    async with asyncpg.create_pool(
        host=str(bouncer), port=PORT, user=world.role, database=world.database, min_size=4,
        max_size=4, connection_class=tenant_asyncpg_connection(world.binder),
    ) as pool:  # fmt: skip
        assert all(await asyncio.gather(*map(one, range(TRANSACTIONS))))
