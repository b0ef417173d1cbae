"""An engine of SQLAlchemy whose user is replaced under traffic."""

import asyncio

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support.real import TokenFile
from tests.workload.secrets.conftest import POLICY, DatabaseWorld
from tests.workload.secrets.test_database import SHOP, Clock, credentials
from workload.secrets import DatabaseCredentials
from workload.secrets.engine import follow_credentials

pytestmark = pytest.mark.real
ASK = text("SELECT current_user FROM (SELECT count(*) FROM orders) AS counted")


def url(world: DatabaseWorld, driver: str = "psycopg") -> str:
    return f"postgresql+{driver}://@/{world.database}?host={world.postgres.folder}"


async def replace(world: DatabaseWorld, shop: DatabaseCredentials, clock: Clock) -> None:
    world.openbao.client.sys.revoke_prefix("database/creds/shop")
    clock.now += 2401
    await shop.step()


async def test_a_pooled_connection_of_a_user_before_is_not_used(world: DatabaseWorld) -> None:
    clock = Clock()
    shop = credentials(world, SHOP, clock)
    await shop.load()
    engine = create_engine(url(world), pool_size=2)
    follow_credentials(engine, shop)

    def asks() -> str:
        with engine.connect() as connection:
            return str(connection.execute(ASK).scalar_one())

    assert asks() == asks() == shop.current.name
    before = shop.current.name
    await replace(world, shop, clock)
    assert asks() == asks() == shop.current.name != before
    engine.dispose()
    await shop.aclose()


async def test_a_connection_that_was_just_made_is_used_whoever_is_current_by_then(
    world: DatabaseWorld,
) -> None:
    shop = credentials(world, SHOP, Clock())
    await shop.load()
    engine = create_engine(url(world))
    follow_credentials(engine, shop)

    @event.listens_for(engine, "connect")
    def replaced_meanwhile(*_: object) -> None:
        assert shop._user is not None
        shop._user = shop._user._replace(number=shop._user.number + 1)

    with engine.connect() as connection:
        assert connection.execute(ASK).scalar_one() == shop.current.name
    engine.dispose()
    await shop.aclose()


async def test_no_statement_fails_while_users_are_replaced(
    world: DatabaseWorld, token_file: TokenFile
) -> None:
    clock = Clock()
    shop = credentials(world, SHOP, clock)
    await shop.load()
    engine = create_async_engine(url(world, "asyncpg"), pool_size=4)
    follow_credentials(engine, shop)
    seen: list[str] = []

    async def ask() -> None:
        for _ in range(20):
            async with engine.connect() as connection:
                seen.append(str((await connection.execute(ASK)).scalar_one()))

    async def rotate() -> None:
        for _ in range(3):
            token_file.write(world.openbao.token_for(POLICY, name="shop"))
            clock.now += 31
            await shop.step()

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(ask())
        group.create_task(rotate())
    assert len(seen) == 80
    assert shop.current.number == 4
    await engine.dispose()
    world.openbao.client.sys.revoke_prefix("database/creds/shop")
