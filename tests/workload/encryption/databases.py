"""The databases that keys and sealed values are kept in: SQLite, and a real PostgreSQL."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from tests.support.postgres_server import PostgresServer
from workload.encryption.sql_key_store import SqlKeyStore, key_table

SYNC_DRIVERS = {"sqlite": "pysqlite", "postgresql": "psycopg"}
ASYNC_DRIVERS = {"sqlite": "aiosqlite", "postgresql": "asyncpg"}


@dataclass
class FieldDatabase:
    """An empty database of one test's, and how it goes away; ``place`` is what follows ``://``."""

    dialect: str
    place: str
    go_away: Callable[[], None]

    def url(self, drivers: dict[str, str] = SYNC_DRIVERS) -> str:
        return f"{self.dialect}+{drivers[self.dialect]}://{self.place}"


def sqlite_database(folder: Path) -> FieldDatabase:
    """Return a file. A file is always there, so its table goes away."""
    path = folder / "test.db"

    def go_away() -> None:
        engine = sa.create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE field_keys RENAME TO elsewhere")
        engine.dispose()

    return FieldDatabase("sqlite", f"/{path}", go_away)


def postgresql_database(server: PostgresServer) -> FieldDatabase:
    """Return a role with a schema of its name, which is where it looks first. It is shut out."""
    role = f"fields{server.next_number()}"
    server.run(
        "postgres",
        f"CREATE ROLE {role} LOGIN",
        f"CREATE SCHEMA {role} AUTHORIZATION {role}",
    )

    def go_away() -> None:
        server.run(
            "postgres",
            f"ALTER ROLE {role} NOLOGIN",
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity "
            f"WHERE usename = '{role}'",
        )

    return FieldDatabase("postgresql", f"{role}@/postgres?host={server.folder}", go_away)


class KeyPlace(NamedTuple):
    """A database with the table of wrapped keys."""

    engine: sa.Engine
    store: SqlKeyStore
    table: sa.Table
    database: FieldDatabase


def key_place(database: FieldDatabase) -> KeyPlace:
    """Make the table in an empty database."""
    engine = sa.create_engine(database.url())
    metadata = sa.MetaData()
    table = key_table(metadata)
    metadata.create_all(engine)
    return KeyPlace(engine, SqlKeyStore(engine, table), table, database)
