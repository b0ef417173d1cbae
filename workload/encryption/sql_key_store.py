"""Wrapped data keys in a table of the application's database, by SQLAlchemy."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from workload.encryption.errors import FieldInputFault, FieldKeysAway, FieldKeysMissing
from workload.encryption.places import KeyPurpose, KeyScope
from workload.encryption.sql_database import SqlTransactions
from workload.encryption.versions import WrappedKey

_MAX_RECORDS = 4096
_ATTEMPTS = 8


def key_table(metadata: sa.MetaData, name: str = "field_keys") -> sa.Table:
    """Return the table of wrapped keys, for a migration to create. Texts compare by bytes."""
    text = sa.String(1024).with_variant(sa.String(1024, collation="C"), "postgresql")
    return sa.Table(
        name,
        metadata,
        sa.Column("tenant", text, primary_key=True),
        sa.Column("data_class", text, primary_key=True),
        sa.Column("subject", text, primary_key=True),
        sa.Column("purpose", sa.String(16), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kek", sa.String(600), nullable=False),
        sa.Column("wrapped", sa.String(512), nullable=True),
        sa.Column("created_at", sa.Double, nullable=False),
    )


class SqlKeyStore:
    """``WrappedKeyStore`` on one table."""

    def __init__(self, engine: sa.Engine | AsyncEngine, table: sa.Table) -> None:
        self._transactions = SqlTransactions(engine)
        self._table = table
        self._order = (*(table.c[name] for name in _SCOPE), table.c.version)

    async def read(self, scope: KeyScope) -> Sequence[WrappedKey]:
        """Return every record of a scope."""
        query = sa.select(self._table).where(*self._is(scope))
        newest_first = query.order_by(self._table.c.version.desc()).limit(_MAX_RECORDS)
        return await self._read(newest_first)

    async def add(self, key: WrappedKey) -> bool:
        """Write a record; false where the scope has that version already."""

        def work(connection: sa.Connection) -> bool:
            try:
                with connection.begin_nested():
                    connection.execute(sa.insert(self._table).values(_row(key)))
            except IntegrityError:
                return False
            return True

        return await self._transactions.run(work)

    async def replace(self, key: WrappedKey, wrapped: str) -> bool:
        """Write another wrapping of a key, where the record is still as given."""
        where = (*self._is(key.scope, key.version), self._table.c.wrapped == key.wrapped)
        return await self._change(sa.update(self._table).where(*where).values(wrapped=wrapped))

    async def destroy(self, scope: KeyScope, version: int) -> bool:
        """Delete the key of one record."""
        where = (*self._is(scope, version), self._table.c.wrapped.is_not(None))
        return await self._change(sa.update(self._table).where(*where).values(wrapped=None))

    async def destroy_all(self, scope: KeyScope, now: float) -> None:
        """Delete the keys of a scope, and close it.

        The record that closes it has the version that a process that is making a key would
        write: one of the two fails, and if it is this one it begins again.
        """
        for _ in range(_ATTEMPTS):
            if await self._transactions.run(lambda each: self._close(each, scope, now)):
                return
        raise FieldKeysAway("others are making keys of this scope; shred it again")

    async def scopes(self, tenant: str) -> Sequence[KeyScope]:
        """Return the scopes of a tenant that have keys."""
        columns = [self._table.c[name] for name in _SCOPE]
        query = sa.select(*columns).distinct().limit(_MAX_RECORDS)
        live = query.where(self._table.c.tenant == tenant, self._table.c.wrapped.is_not(None))

        def work(connection: sa.Connection) -> list[KeyScope]:
            return [_scope(*row) for row in connection.execute(live)]

        return await self._transactions.run(work)

    async def walk(self, after: tuple[KeyScope, int] | None, limit: int) -> Sequence[WrappedKey]:
        """Return live records after one of them, in the order of the primary key."""
        query = sa.select(self._table).where(self._table.c.wrapped.is_not(None))
        if after is not None:
            scope, version = after
            place = (scope.tenant, scope.data_class, scope.subject, scope.purpose.value, version)
            query = query.where(sa.tuple_(*self._order) > sa.tuple_(*place))
        return await self._read(query.order_by(*self._order).limit(limit))

    async def _read(self, query: sa.Select[tuple[object, ...]]) -> list[WrappedKey]:
        def work(connection: sa.Connection) -> list[WrappedKey]:
            return [_record(row) for row in connection.execute(query).mappings()]

        return await self._transactions.run(work)

    async def _change(self, statement: sa.Update) -> bool:
        return await self._transactions.run(
            lambda connection: connection.execute(statement).rowcount == 1
        )

    def _close(self, connection: sa.Connection, scope: KeyScope, now: float) -> bool:
        table = self._table
        newest = sa.select(sa.func.max(table.c.version)).where(*self._is(scope))
        last = connection.execute(newest).scalar() or 0
        live = sa.select(sa.func.count()).where(*self._is(scope), table.c.wrapped.is_not(None))
        at_end = sa.select(table.c.wrapped).where(*self._is(scope, last))
        is_closed = last > 0 and connection.execute(at_end).scalar() is None
        if is_closed and connection.execute(live).scalar() == 0:
            return True
        tombstone = WrappedKey(scope, last + 1, "", None, now)
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(table).values(_row(tombstone)))
        except IntegrityError:
            return False
        connection.execute(sa.update(table).where(*self._is(scope)).values(wrapped=None))
        return True

    def _is(self, scope: KeyScope, version: int | None = None) -> list[sa.ColumnElement[bool]]:
        row = _row(WrappedKey(scope, 0, "", None, 0.0))
        where = [self._table.c[name] == row[name] for name in _SCOPE]
        return where if version is None else [*where, self._table.c.version == version]


_SCOPE = ("tenant", "data_class", "subject", "purpose")


def _row(key: WrappedKey) -> dict[str, object]:
    scope = key.scope
    return {
        "tenant": scope.tenant,
        "data_class": scope.data_class,
        "subject": scope.subject,
        "purpose": scope.purpose.value,
        "version": key.version,
        "kek": key.kek,
        "wrapped": key.wrapped,
        "created_at": key.created_at,
    }


def _scope(tenant: str, data_class: str, subject: str, purpose: str) -> KeyScope:
    try:
        return KeyScope(tenant, data_class, subject, KeyPurpose(purpose))
    except (ValueError, FieldInputFault):
        raise FieldKeysMissing("the key table has a record of no scope") from None


def _record(row: sa.RowMapping) -> WrappedKey:
    scope = _scope(*(row[name] for name in _SCOPE))
    return WrappedKey(scope, row["version"], row["kek"], row["wrapped"], row["created_at"])
