"""Runs a transaction on an engine of SQLAlchemy, of either kind."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import (
    DBAPIError,
    DisconnectionError,
    InterfaceError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from workload.encryption.errors import FieldInputFault, FieldKeysAway, FieldKeysMissing

T = TypeVar("T")
_AWAY = (OperationalError, InterfaceError, InternalError, DisconnectionError, PoolTimeout, OSError)


class SqlTransactions:
    """``AsyncEngine`` runs on its loop, ``Engine`` in a thread of asyncio's."""

    def __init__(self, engine: sa.Engine | AsyncEngine) -> None:
        self._engine = engine

    async def run(self, work: Callable[[sa.Connection], T]) -> T:
        """Run ``work`` in a transaction.

        Raises ``FieldKeysAway`` where the database is away or busy, ``FieldKeysMissing`` where it
        will not do it: another attempt would be refused too.
        """
        try:
            if isinstance(self._engine, AsyncEngine):
                async with self._engine.begin() as connection:
                    return await connection.run_sync(work)
            return await asyncio.to_thread(self._in_thread, self._engine, work)
        except (SQLAlchemyError, OSError) as exc:  # asyncpg's connect raises the latter
            # The text of such an error has the statement and its values in it.
            if isinstance(exc, _AWAY) or _has_lost_connection(exc):
                raise FieldKeysAway(f"the database fails ({type(exc).__name__})") from None
            raise FieldKeysMissing(f"the database refuses ({type(exc).__name__})") from None

    @staticmethod
    def _in_thread(engine: sa.Engine, work: Callable[[sa.Connection], T]) -> T:
        with engine.begin() as connection:
            return work(connection)


def typed(column: sa.ColumnElement[Any], text: str) -> object:
    """Return a text of a scope as what a column holds: a UUID, an integer or the text."""
    if column.type.python_type not in {UUID, int}:
        return text
    try:
        return column.type.python_type(text)
    except ValueError:
        raise FieldInputFault(f"the scope names no value of the column {column.key}") from None


def _has_lost_connection(exc: Exception) -> bool:
    return isinstance(exc, DBAPIError) and exc.connection_invalidated
