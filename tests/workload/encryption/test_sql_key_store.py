"""The table of wrapped keys: one version once, compare and set, closed for good."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from tests.workload.encryption.databases import FieldDatabase, KeyPlace
from workload.encryption import sql_key_store
from workload.encryption.errors import FieldKeysAway, FieldKeysMissing
from workload.encryption.places import KeyPurpose, KeyScope
from workload.encryption.sql_key_store import SqlKeyStore, key_table
from workload.encryption.versions import WrappedKey

SCOPE = KeyScope("acme", "contact")


def record(version: int, scope: KeyScope = SCOPE, wrapped: str | None = "w") -> WrappedKey:
    return WrappedKey(scope, version, "kek", wrapped, 1.5)


async def test_a_record_comes_back_as_it_was_and_a_version_is_there_once(place: KeyPlace) -> None:
    store = place.store
    for scope in (SCOPE, SCOPE.for_index(), KeyScope("acme", "contact", "p'; DROP TABLE x")):
        assert await store.add(record(1, scope))
        assert not await store.add(record(1, scope, "another"))
        assert await store.read(scope) == [record(1, scope)]
    assert await store.read(KeyScope("ACME", "contact")) == []


async def test_another_wrapping_is_written_over_the_one_that_was_read(place: KeyPlace) -> None:
    store = place.store
    await store.add(record(1))
    assert await store.replace(record(1), "w2")
    assert not await store.replace(record(1), "w3")
    assert await store.read(SCOPE) == [record(1, wrapped="w2")]


async def test_a_destroyed_key_is_destroyed_once_and_stays_so(place: KeyPlace) -> None:
    store = place.store
    await store.add(record(1))
    await store.add(record(2))
    assert await store.destroy(SCOPE, 1)
    assert not await store.destroy(SCOPE, 1)
    assert not await store.destroy(SCOPE, 7)
    assert not await store.replace(record(1), "w")
    assert sorted(await store.read(SCOPE)) == [record(1, wrapped=None), record(2)]


async def test_a_closed_scope_has_a_destroyed_record_at_its_end(place: KeyPlace) -> None:
    store = place.store
    await store.add(record(1))
    await store.add(record(2))
    await store.add(record(1, KeyScope("other", "contact")))
    await store.destroy_all(SCOPE, 9.0)
    closed = [(each.version, each.wrapped) for each in sorted(await store.read(SCOPE))]
    assert closed == [(1, None), (2, None), (3, None)]
    await store.destroy_all(SCOPE, 9.0)
    assert len(await store.read(SCOPE)) == 3
    assert not await store.add(record(3))
    assert await store.scopes("acme") == []
    assert await store.scopes("other") == [KeyScope("other", "contact")]


async def test_a_key_that_is_made_while_a_scope_is_closed_is_destroyed_too(
    place: KeyPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = place.store
    await store.add(record(1))
    looked = SqlKeyStore._is
    raced: list[int] = []

    def racing(self: SqlKeyStore, scope: KeyScope, version: int | None = None) -> object:
        if version == 1 and not raced:  # it has read which version is the last
            raced.append(1)
            with place.engine.begin() as connection:
                connection.exec_driver_sql(
                    "INSERT INTO field_keys VALUES ('acme','contact','','seal',2,'kek','w',1.5)"
                )
        return looked(self, scope, version)

    monkeypatch.setattr(SqlKeyStore, "_is", racing)
    await store.destroy_all(SCOPE, 9.0)
    monkeypatch.undo()
    assert raced
    closed = [(each.version, each.wrapped) for each in sorted(await store.read(SCOPE))]
    assert closed == [(1, None), (2, None), (3, None)]


async def test_all_live_records_are_walked_once_in_pages(place: KeyPlace) -> None:
    store = place.store
    scopes = [
        KeyScope(tenant, "contact", subject, KeyPurpose.SEAL)
        for tenant in ("a", "b", "é")
        for subject in ("", "p")
    ]
    for scope in scopes:
        await store.add(record(1, scope))
        await store.add(record(2, scope))
    await store.destroy(scopes[0], 1)
    found: list[WrappedKey] = []
    while page := await store.walk(
        (found[-1].scope, found[-1].version) if found else None, limit=2
    ):
        found += page
    assert len(found) == len(set(found)) == 11


async def test_of_too_many_records_the_newest_are_read(
    place: KeyPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that closes a scope is among them."""
    monkeypatch.setattr(sql_key_store, "_MAX_RECORDS", 2)
    for version in (1, 2, 3):
        await place.store.add(record(version))
    assert sorted(await place.store.read(SCOPE)) == [record(2), record(3)]


async def test_a_table_that_is_not_there(database: FieldDatabase) -> None:
    """PostgreSQL says what it is; SQLite's error is that of a file that can't be read."""
    engine = sa.create_engine(database.url())
    fault, name = {
        "sqlite": (FieldKeysAway, "OperationalError"),
        "postgresql": (FieldKeysMissing, "ProgrammingError"),
    }[database.dialect]
    with pytest.raises(fault, match=name):
        await SqlKeyStore(engine, key_table(sa.MetaData())).read(SCOPE)
    engine.dispose()


def test_the_table_for_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    ddl = str(CreateTable(key_table(sa.MetaData())).compile(dialect=dialect))
    assert 'tenant VARCHAR(1024) COLLATE "C" NOT NULL' in ddl
    assert "PRIMARY KEY (tenant, data_class, subject, purpose, version)" in ddl


@pytest.mark.parametrize(("column", "text"), [("purpose", "x"), ("tenant", ""), ("data_class", "")])
async def test_a_record_of_no_scope(place: KeyPlace, column: str, text: str) -> None:
    await place.store.add(record(1))
    with place.engine.begin() as connection:
        connection.execute(sa.update(place.table).values({column: text}))
    with pytest.raises(FieldKeysMissing, match="no scope"):
        await place.store.walk(None, 5)
