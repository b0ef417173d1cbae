"""Sealed columns in SQLAlchemy's ORM.

A column's type knows neither the row nor the tenant, and both are bound into a sealed value. So
there are two parts: ``SealedBytes``, the type, lets nothing but sealed values into the column; and
``EncryptedText``, an attribute beside it, seals when it is set and opens when it is read.
"""

from collections.abc import Callable
from typing import Any, overload

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from workload.encryption.blind_index import BlindIndex, Normalise
from workload.encryption.errors import FieldInputFault, FieldKeysMissing
from workload.encryption.places import FieldColumn, KeyScope, RowId
from workload.encryption.scope_keys import ScopeKeys
from workload.encryption.sealed import read_sealed
from workload.encryption.sql_database import typed


class SealedBytes(TypeDecorator[bytes]):
    """A column of sealed values (BYTEA, BLOB). Anything else is refused: no plain text slips in."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: sa.Dialect) -> bytes | None:
        """Let a sealed value pass."""
        del dialect
        if value is not None and read_sealed(value) is None:
            raise FieldInputFault("a sealed column takes sealed values only; seal it first")
        return value

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> bytes | None:
        """Return what is in the column, whatever it is: opening it decides."""
        del dialect
        return None if value is None else bytes(value)


class FieldKeySource:
    """Where the attributes of models get keys; models are there before the keyring is.

    ``use(keyring.loaded)`` with asyncio: load a tenant's keys before its rows are touched.
    ``use(blocking_keyring.load)`` in threads.
    """

    def __init__(self) -> None:
        self._keys: Callable[[KeyScope], ScopeKeys] | None = None

    def use(self, keys: Callable[[KeyScope], ScopeKeys]) -> None:
        """Take keys from here from now on."""
        self._keys = keys

    def __call__(self, scope: KeyScope) -> ScopeKeys:
        """Return a scope's keys. Raises ``FieldKeysMissing`` where no keyring was given."""
        if self._keys is None:
            raise FieldKeysMissing("no keyring is in use; call use() when the application starts")
        return self._keys(scope)


class EncryptedText:
    """An attribute of a mapped class over its sealed column, and over its blind index if any.

    The row's id, tenant and subject are read from the object, so they must be set before, and
    may not change after: name ``id=uuid4()`` first in the constructor.
    """

    def __init__(
        self,
        keys: FieldKeySource,
        sealed: str,
        *,
        data_class: str,
        row: str = "id",
        tenant: str = "tenant_id",
        subject: str | None = None,
        index: str | None = None,
        normalise: Normalise | None = None,
        token_bytes: int = 16,
    ) -> None:
        """Name the attributes of the class that hold each part."""
        if (index is None) != (normalise is None):
            raise FieldInputFault("index and normalise belong together")
        self._keys = keys
        self._sealed, self._row, self._tenant = sealed, row, tenant
        self._subject, self._index = subject, index
        self._data_class = data_class
        self._normalise, self._token_bytes = normalise, token_bytes
        self._columns: dict[type, FieldColumn] = {}

    @overload
    def __get__(self, instance: None, owner: type) -> "FieldSearch": ...
    @overload
    def __get__(self, instance: object, owner: type) -> str | None: ...
    def __get__(self, instance: object | None, owner: type) -> "str | FieldSearch | None":
        """Open the value; on the class, return what searches it."""
        if instance is None:
            return FieldSearch(self, owner)
        sealed = getattr(instance, self._sealed)
        if sealed is None:
            return None
        column = self.column_of(owner)
        return self._keys(self._scope(instance)).open_text(sealed, column, self._row_id(instance))

    def __set__(self, instance: object, text: str | None) -> None:
        """Seal the value for this row, and write its token."""
        if text is None:
            sealed = token = None
        else:
            column, scope = self.column_of(type(instance)), self._scope(instance)
            sealed = self._keys(scope).seal_text(text, column, self._row_id(instance))
            token = None
            if self._normalise is not None:
                index_keys = self._keys(scope.for_index())
                token = self.index_of(type(instance)).token(index_keys, text)
        setattr(instance, self._sealed, sealed)
        if self._index is not None:
            setattr(instance, self._index, token)

    def column_of(self, owner: type) -> FieldColumn:
        """Return the sealed column's name, as it is bound into values."""
        column = self._columns.get(owner)
        if column is None:
            found: sa.Column[Any] = sa.inspect(owner).columns[self._sealed]
            column = self._columns[owner] = FieldColumn(found.table.fullname, found.name)
        return column

    def index_of(self, owner: type) -> BlindIndex:
        """Return the blind index of the column."""
        if self._normalise is None:
            raise FieldInputFault("this attribute has no blind index")
        return BlindIndex(self.column_of(owner), self._normalise, self._token_bytes)

    def search(self, owner: type, tenant: str, text: str) -> sa.ColumnElement[bool]:
        """Return the condition that a row of the tenant may have this text."""
        scope = KeyScope(tenant, self._data_class).for_index()
        tokens = self.index_of(owner).tokens(self._keys(scope), text)
        column = getattr(owner, self._tenant)
        where: sa.ColumnElement[bool] = sa.and_(
            column == typed(column, tenant), getattr(owner, str(self._index)).in_(tokens)
        )
        return where

    def _scope(self, instance: object) -> KeyScope:
        subject = "" if self._subject is None else str(self._needed(instance, self._subject))
        return KeyScope(str(self._needed(instance, self._tenant)), self._data_class, subject)

    def _row_id(self, instance: object) -> RowId:
        row: RowId = self._needed(instance, self._row)
        return row

    @staticmethod
    def _needed(instance: object, name: str) -> Any:
        value = getattr(instance, name)
        if value is None or value == "":
            raise FieldInputFault(f"set {name} before the sealed attribute: it is bound into it")
        return value


class FieldSearch:
    """What ``Model.attribute`` is: the way to search a sealed column."""

    def __init__(self, attribute: EncryptedText, owner: type) -> None:
        self._attribute = attribute
        self._owner = owner

    def equals(self, tenant: str, text: str) -> sa.ColumnElement[bool]:
        """Return a condition for ``where``: candidates, to be compared when they are opened."""
        return self._attribute.search(self._owner, tenant, text)

    def __eq__(self, other: object) -> Any:
        """Refuse ``Model.attribute == text``, which would be false for every row."""
        raise FieldInputFault("a sealed attribute is searched by Model.attribute.equals(tenant, …)")

    __ne__ = __eq__
    __hash__ = object.__hash__
