"""Seals a column's values again under the key that writes, in batches, while others write.

Each value is replaced only where it is still as it was read (compare and set): what another
writes meanwhile stays, and the next run looks at it. A value that has the newest key already is
left alone, so that a run may be interrupted anywhere, continued from its last ``cursor`` or begun
again.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from workload.encryption.blind_index import BlindIndex
from workload.encryption.errors import FieldInputFault, FieldKeysDestroyed, ValueDoesNotOpen
from workload.encryption.keyring import Keyring
from workload.encryption.places import FieldColumn, KeyScope, RowId
from workload.encryption.scope_keys import ScopeKeys
from workload.encryption.sealed import FORMAT, key_version
from workload.encryption.sql_database import SqlTransactions, typed


@dataclass(frozen=True, slots=True)
class SealedTableColumn:
    """A sealed column of a table whose primary key is one column, ``row``."""

    sealed: sa.Column[Any]
    row: sa.Column[Any]
    tenant: sa.Column[Any]
    data_class: str
    subject: sa.Column[Any] | None = None
    index: BlindIndex | None = None
    index_token: sa.Column[Any] | None = None

    def __post_init__(self) -> None:
        if (self.index is None) != (self.index_token is None):
            raise FieldInputFault("index and index_token belong together")

    @property
    def column(self) -> FieldColumn:
        """The column's name in the associated data."""
        return FieldColumn(self.sealed.table.fullname, self.sealed.name)


class ReencryptionProgress(NamedTuple):
    """What one batch did. ``cursor`` is the last row's id: give it as ``after`` to go on."""

    cursor: Any
    sealed_again: int
    left_alone: int
    changed_meanwhile: int
    destroyed: int
    """Values whose keys were destroyed."""
    not_opened: tuple[RowId, ...]
    """Rows whose value does not open: damaged, or put there by somebody."""


class _Row(NamedTuple):
    row: Any
    sealed: bytes
    subject: str
    token: bytes | None


async def reencrypt(
    engine: sa.Engine | AsyncEngine,
    target: SealedTableColumn,
    keyring: Keyring,
    tenant: str,
    *,
    after: object = None,
    batch: int = 500,
) -> AsyncGenerator[ReencryptionProgress, None]:
    """Go over one tenant's rows; yields after each batch is committed.

    Raises ``FieldKeysAway``: then go on from the last cursor.
    """
    transactions = SqlTransactions(engine)
    while rows := await transactions.run(_page(target, tenant, after, batch)):
        changes: list[tuple[_Row, bytes, bytes | None]] = []
        destroyed, damaged = 0, []
        index_keys = await _index_keys(target, keyring, tenant)
        for row in rows:
            scope = KeyScope(tenant, target.data_class, row.subject)
            try:
                change = _again(target, row, await keyring.load(scope), index_keys)
            except FieldKeysDestroyed:
                destroyed += 1
            except ValueDoesNotOpen:
                damaged.append(row.row)
            else:
                changes += [change] if change is not None else []
        done = await transactions.run(_swap(target, tenant, changes)) if changes else 0
        left = len(rows) - len(changes) - destroyed - len(damaged)
        after = rows[-1].row
        lost = len(changes) - done
        yield ReencryptionProgress(after, done, left, lost, destroyed, tuple(damaged))


async def remaining(
    engine: sa.Engine | AsyncEngine, target: SealedTableColumn, scope: KeyScope, below: int
) -> int:
    """Count a scope's values that are sealed under a version before ``below``.

    Before ``KeyAdmin.retire``, of each column of that class.
    """
    if (target.subject is None) != (not scope.subject):
        raise FieldInputFault("the scope has a subject where the column has one")
    first = bytes((FORMAT,)) + below.to_bytes(4, "big")
    query = sa.select(sa.func.count()).where(
        target.tenant == typed(target.tenant, scope.tenant),
        sa.type_coerce(target.sealed, sa.LargeBinary) < first,
    )
    if target.subject is not None:
        query = query.where(target.subject == typed(target.subject, scope.subject))

    def work(connection: sa.Connection) -> int:
        return int(connection.execute(query).scalar_one())

    return await SqlTransactions(engine).run(work)


async def _index_keys(target: SealedTableColumn, keyring: Keyring, tenant: str) -> ScopeKeys | None:
    if target.index is None:
        return None
    return await keyring.load(KeyScope(tenant, target.data_class).for_index())


def _page(target: SealedTableColumn, tenant: str, after: object, limit: int) -> Any:
    nothing = sa.literal(None)
    query = sa.select(
        target.row,
        target.sealed,
        nothing if target.subject is None else target.subject,
        nothing if target.index_token is None else target.index_token,
    ).where(target.tenant == typed(target.tenant, tenant), target.sealed.is_not(None))
    if after is not None:
        query = query.where(target.row > after)
    query = query.order_by(target.row).limit(limit)

    def work(connection: sa.Connection) -> list[_Row]:
        return [
            _Row(row, sealed, "" if subject is None else str(subject), token)
            for row, sealed, subject, token in connection.execute(query)
        ]

    return work


def _again(
    target: SealedTableColumn, row: _Row, keys: ScopeKeys, index_keys: ScopeKeys | None
) -> tuple[_Row, bytes, bytes | None] | None:
    """Return the row with its new value and token; ``None`` where both are the newest."""
    is_newest = key_version(row.sealed) == keys.writing_version
    if is_newest and index_keys is None:
        return None
    value = keys.open(row.sealed, target.column, row.row)
    token = _token(target, value, index_keys)
    if is_newest and token == row.token:
        return None
    return row, keys.seal(value, target.column, row.row), token


def _token(target: SealedTableColumn, value: bytes, index_keys: ScopeKeys | None) -> bytes | None:
    if target.index is None or index_keys is None:
        return None
    try:
        return target.index.token(index_keys, value.decode())
    except (UnicodeDecodeError, FieldInputFault):
        pass  # a value that the normalisation of today refuses
    raise ValueDoesNotOpen


def _swap(
    target: SealedTableColumn, tenant: str, changes: Sequence[tuple[_Row, bytes, bytes | None]]
) -> Any:
    table = target.sealed.table

    def work(connection: sa.Connection) -> int:
        done = 0
        for row, sealed, token in changes:
            values: dict[Any, object] = {target.sealed: sealed}
            if target.index_token is not None:
                values[target.index_token] = token
            statement = (
                sa.update(table)
                .where(
                    target.row == row.row,
                    target.tenant == typed(target.tenant, tenant),
                    target.sealed == row.sealed,
                )
                .values(values)
            )
            done += connection.execute(statement).rowcount
        return done

    return work
