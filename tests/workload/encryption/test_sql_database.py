"""Transactions on both kinds of engine."""

from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from tests.workload.encryption.databases import ASYNC_DRIVERS, SYNC_DRIVERS, FieldDatabase
from workload.encryption.errors import FieldInputFault, FieldKeysAway, FieldKeysMissing
from workload.encryption.sql_database import SqlTransactions, typed

FAILING = {
    "sqlite": "INSERT INTO nowhere VALUES (:secret)",
    "postgresql": "SELECT pg_terminate_backend(pg_backend_pid()), CAST(:secret AS text)",
}


@pytest.mark.parametrize("drivers", [SYNC_DRIVERS, ASYNC_DRIVERS], ids=["sync", "async"])
async def test_a_transaction_is_whole_or_is_not(
    database: FieldDatabase, drivers: dict[str, str]
) -> None:
    url = database.url(drivers)
    is_async = drivers is ASYNC_DRIVERS
    engine = create_async_engine(url) if is_async else sa.create_engine(url)
    transactions = SqlTransactions(engine)
    await transactions.run(lambda each: each.exec_driver_sql("CREATE TABLE t (a INTEGER NOT NULL)"))

    def fails(connection: sa.Connection) -> None:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        connection.execute(sa.text(FAILING[database.dialect]), {"secret": "s3cret"})

    def is_refused(connection: sa.Connection) -> None:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        connection.execute(sa.text("INSERT INTO t VALUES (:secret)"), {"secret": None})

    with pytest.raises(FieldKeysAway, match="the database fails") as raised:
        await transactions.run(fails)
    assert "s3cret" not in str(raised.value)
    with pytest.raises(FieldKeysMissing, match=r"the database refuses \(IntegrityError"):
        await transactions.run(is_refused)
    count = await transactions.run(lambda each: each.exec_driver_sql("SELECT * FROM t").all())
    assert count == []
    closing = engine.dispose()
    if closing is not None:
        await closing


def test_a_scopes_text_is_what_the_column_holds() -> None:
    tenant = uuid4()
    assert typed(sa.Column("a", sa.Uuid), str(tenant)) == tenant
    assert typed(sa.Column("a", sa.Integer), "7") == 7
    assert typed(sa.Column("a", sa.String), "7") == "7"
    for column in (sa.Column("a", sa.Uuid), sa.Column("a", sa.Integer)):
        with pytest.raises(FieldInputFault, match="column a"):
            typed(column, "x")


async def test_a_host_that_takes_no_connection_is_away() -> None:
    def no_connection(*_: object) -> None:
        raise ConnectionRefusedError

    engine = sa.create_engine("sqlite://", creator=no_connection)
    with pytest.raises(FieldKeysAway, match="ConnectionRefusedError"):
        await SqlTransactions(engine).run(lambda each: each.exec_driver_sql("SELECT 1"))
