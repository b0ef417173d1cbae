"""SQLAlchemy: no statement without a tenant, none outside a transaction, no row of another's."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tests.support.tenancy_world import TENANTS, A, B, TenancyWorld, context_of
from workload.tenancy.context import TenancyFault, TenantUnknown, tenant, without_tenant
from workload.tenancy.postgres.binding import NoTransaction, TenantBinder, TenantChanged
from workload.tenancy.postgres.sqlalchemy2 import guard_engine, reset_sessions

TRANSACTIONS = 1000
MINE = text("SELECT DISTINCT tenant_id::text FROM contacts")


class TenancyBase(DeclarativeBase):
    pass


class ContactRow(TenancyBase):
    __tablename__ = "contacts"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


def url_of(world: TenancyWorld, driver: str) -> str:
    url = make_url(world.url).set(drivername=f"postgresql+{driver}")
    return url.render_as_string(hide_password=False)


@pytest.fixture
def engine(world: TenancyWorld) -> Iterator[Engine]:
    made = create_engine(url_of(world, "psycopg"), pool_size=3, max_overflow=0, pool_pre_ping=True)
    guard_engine(made, world.binder)
    yield made
    made.dispose()


def test_core_and_orm_see_their_tenant_and_none_without(engine: Engine) -> None:
    with pytest.raises(TenantUnknown), engine.begin():
        pass
    with pytest.raises(TenantUnknown), Session(engine) as session:
        session.get(ContactRow, 1)
    with tenant(context_of(A)):
        with engine.connect() as connection:
            assert connection.scalars(MINE).all() == [A]
            connection.commit()
            assert connection.scalars(MINE).all() == [A]
        with Session(engine) as session:
            assert [each.name for each in session.query(ContactRow)] == [f"of {A}"]
    with without_tenant("the test of no tenant"), engine.begin() as connection:
        assert connection.scalars(MINE).all() == []


def test_a_transaction_keeps_its_tenant(engine: Engine) -> None:
    with tenant(context_of(A)), engine.begin() as connection:
        with pytest.raises(ZeroDivisionError), connection.begin_nested():
            raise ZeroDivisionError
        assert connection.scalars(MINE).all() == [A]
        with tenant(context_of(B)), pytest.raises(TenantChanged):
            connection.execute(MINE)
    with tenant(context_of(B)), engine.begin() as connection:
        assert connection.scalars(MINE).all() == [B]


def test_autocommit_and_two_phases_are_refused(engine: Engine) -> None:
    with tenant(context_of(A)):
        autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(NoTransaction), autocommit.connect() as connection:
            connection.execute(MINE)
        with engine.connect() as connection, pytest.raises(TenancyFault, match="two-phase"):
            connection.begin_twophase()


def test_a_session_is_flushed_for_its_tenant_alone(engine: Engine) -> None:
    session = Session(engine)
    with tenant(context_of(A)):
        (row,) = session.query(ContactRow)
    row.name = "changed"
    with tenant(context_of(B)), pytest.raises(TenantChanged):
        session.flush()
    session.close()


def test_drivers_that_write_parameters_into_the_text_are_refused() -> None:
    for url in ("sqlite://", "postgresql+pg8000://"):
        with pytest.raises((TenancyFault, ModuleNotFoundError), match=r"guard knows|pg8000"):
            guard_engine(create_engine(url), TenantBinder.unsealed())


PREPARED = text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%contacts%'")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_no_statement_keeps_a_name_that_injected_sql_could_take(
    world: TenancyWorld, driver: str
) -> None:
    guarded = create_async_engine(url_of(world, driver), pool_size=1)
    guard_engine(guarded.sync_engine, world.binder)
    with tenant(context_of(A)):
        async with guarded.begin() as connection:
            for _ in range(12):
                await connection.execute(text("SELECT id FROM contacts"))
            assert await connection.scalar(PREPARED) <= 1  # asyncpg's last, never run again
    await guarded.dispose()


LEFT_BEHIND = {
    "a setting": ("SET search_path = pg_catalog", "SHOW search_path", '"$user", public'),
    "a tenant": (
        f"SET app.tenant_id = '{B}'",
        "SELECT current_setting('app.tenant_id', true)",
        A,
    ),
    "a time-out": ("SET statement_timeout = '1h'", "SHOW statement_timeout", "0"),
    "read-only transactions": (
        "SET default_transaction_read_only = on",
        "SHOW default_transaction_read_only",
        "off",
    ),
    "a lock": (
        "SELECT pg_advisory_lock(19)",
        "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory'",
        "0",
    ),
    "a prepared statement": (
        "PREPARE theirs AS SELECT 1",
        "SELECT count(*)::text FROM pg_prepared_statements WHERE name = 'theirs'",
        "0",
    ),
    "a cursor": (
        "DECLARE theirs CURSOR WITH HOLD FOR TABLE contacts",
        "SELECT count(*)::text FROM pg_cursors WHERE name = 'theirs'",
        "0",
    ),
    "an ear": ("LISTEN theirs", "SELECT count(*)::text FROM pg_listening_channels()", "0"),
}


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("left", LEFT_BEHIND)
async def test_what_is_left_in_a_session_ends_with_its_use(
    world: TenancyWorld, driver: str, left: str
) -> None:
    leave, look, expected = LEFT_BEHIND[left]
    guarded = create_async_engine(url_of(world, driver), pool_size=1, max_overflow=0)
    guard_engine(guarded.sync_engine, world.binder)
    reset_sessions(guarded.sync_engine)
    pids = set()
    with tenant(context_of(A)):
        async with guarded.begin() as connection:
            pids.add(await connection.scalar(text("SELECT pg_backend_pid()")))
            await connection.execute(text(leave))
        async with guarded.begin() as connection:
            pids.add(await connection.scalar(text("SELECT pg_backend_pid()")))
            assert await connection.scalar(text(look)) == expected
    assert len(pids) == 1, "the session was emptied, not replaced"
    await guarded.dispose()


def test_a_session_that_can_not_be_emptied_is_closed(
    world: TenancyWorld, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_engine(url_of(world, "psycopg"), pool_size=1, max_overflow=0)
    guard_engine(engine, world.binder)
    reset_sessions(engine)
    mine = text("SELECT pg_backend_pid()")
    with tenant(context_of(A)):
        with engine.connect() as connection:
            first = connection.scalar(mine)
            connection.commit()
            world.as_superuser(f"SELECT pg_terminate_backend({first}, 5000)")
        with engine.begin() as connection:
            assert connection.scalar(mine) != first
    assert "Exception during reset" in caplog.text
    engine.dispose()


def test_a_thousand_transactions_of_ten_tenants_in_threads(engine: Engine) -> None:
    def one(number: int) -> bool:
        tenant_id = TENANTS[number % 10]
        with tenant(context_of(tenant_id)), Session(engine) as session:
            rows = list(session.scalars(MINE))
            if number % 7 == 0:
                session.execute(text(f"SET app.tenant_id = '{A}'"))
            if number % 5 == 0:
                session.rollback()
                rows = list(session.scalars(MINE))
            session.commit()
        return rows == [tenant_id]

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(TRANSACTIONS)))


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_thousand_transactions_of_ten_tenants_in_tasks(
    world: TenancyWorld, driver: str
) -> None:
    many = create_async_engine(url_of(world, driver), pool_size=3, max_overflow=0, pool_timeout=60)

    async def one(number: int) -> bool:
        tenant_id = TENANTS[number % 10]
        with tenant(context_of(tenant_id)):
            async with AsyncSession(many) as session:
                rows = list(await session.scalars(MINE))
                await asyncio.sleep(0)
                rows += list(await session.scalars(MINE))
        return rows == [tenant_id] * 2

    guard_engine(many.sync_engine, world.binder)
    with pytest.raises(TenantUnknown):
        async with many.begin():
            pass
    assert all(await asyncio.gather(*map(one, range(200))))
    await many.dispose()
