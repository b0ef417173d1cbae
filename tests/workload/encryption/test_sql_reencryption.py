"""A column is sealed again while others write, and a run may end anywhere."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from tests.workload.encryption.keys_in_hand import FieldProcess
from workload.encryption import BlindIndex, FieldColumn, KeyScope, caseless
from workload.encryption.errors import FieldInputFault
from workload.encryption.sealed import key_version
from workload.encryption.sql_reencryption import (
    ReencryptionProgress,
    SealedTableColumn,
    reencrypt,
    remaining,
)

pytestmark = pytest.mark.real
METADATA = sa.MetaData()
PEOPLE = sa.Table(
    "people",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("tenant_id", sa.String),
    sa.Column("email", sa.LargeBinary),
    sa.Column("email_index", sa.LargeBinary),
)
COLUMN = FieldColumn("people", "email")
INDEX = BlindIndex(COLUMN, caseless)
TARGET = SealedTableColumn(
    PEOPLE.c.email, PEOPLE.c.id, PEOPLE.c.tenant_id, "contact",
    index=INDEX, index_token=PEOPLE.c.email_index,
)  # fmt: skip
PERSONAL = SealedTableColumn(
    PEOPLE.c.email, PEOPLE.c.id, PEOPLE.c.tenant_id, "contact", subject=PEOPLE.c.id
)
SCOPE = KeyScope("acme", "contact")
AHEAD = 7200.0


class PersonRow(NamedTuple):
    id: int
    tenant_id: str
    email: bytes
    email_index: bytes


async def filled(process: FieldProcess, rows: int = 10, *, personal: bool = False) -> None:
    METADATA.create_all(process.place.engine)
    for number in range(1, rows + 1):
        await write(process, number, f"n{number}@example.com", personal=personal)


async def write(process: FieldProcess, row: int, text: str, *, personal: bool = False) -> None:
    scope = KeyScope("acme", "contact", str(row) if personal else "")
    keys = await process.keyring.load(scope)
    index_keys = await process.keyring.load(scope.for_index())
    values = {
        "id": row,
        "tenant_id": "acme",
        "email": keys.seal_text(text, COLUMN, row),
        "email_index": INDEX.token(index_keys, text),
    }
    with process.place.engine.begin() as connection:
        connection.execute(sa.delete(PEOPLE).where(PEOPLE.c.id == row))
        connection.execute(sa.insert(PEOPLE).values(values))


async def rotate(process: FieldProcess, *scopes: KeyScope) -> None:
    for scope in scopes or (SCOPE, SCOPE.for_index()):
        await process.admin.rotate(scope)
    process.clock.now += AHEAD


def read(process: FieldProcess) -> Sequence[PersonRow]:
    with process.place.engine.begin() as connection:
        return [
            PersonRow(*row) for row in connection.execute(sa.select(PEOPLE).order_by(PEOPLE.c.id))
        ]


async def run(process: FieldProcess, **options: object) -> list[ReencryptionProgress]:
    target = options.pop("target", TARGET)
    engine = process.place.engine
    steps = reencrypt(engine, target, process.keyring, "acme", batch=4, **options)  # type: ignore[arg-type]
    return [each async for each in steps]


async def test_every_value_and_token_is_under_the_new_key_and_again_changes_nothing(
    process: FieldProcess,
) -> None:
    await filled(process)
    await rotate(process)
    assert await remaining(process.place.engine, TARGET, SCOPE, 2) == 10
    first = await run(process)
    assert [(each.cursor, each.sealed_again) for each in first] == [(4, 4), (8, 4), (10, 2)]
    assert await remaining(process.place.engine, TARGET, SCOPE, 2) == 0
    after = read(process)
    keys = await process.keyring.load(SCOPE)
    index_keys = await process.keyring.load(SCOPE.for_index())
    for row in after:
        assert key_version(row.email) == 2
        assert keys.open_text(row.email, COLUMN, row.id) == f"n{row.id}@example.com"
        assert row.email_index == INDEX.token(index_keys, f"N{row.id}@Example.com")
    again = await run(process)
    assert sum(each.left_alone for each in again) == 10
    assert read(process) == after
    assert await process.admin.retire(SCOPE, 1)


async def test_a_run_that_is_cut_off_goes_on_from_its_cursor(process: FieldProcess) -> None:
    await filled(process)
    await rotate(process)
    steps = reencrypt(process.place.engine, TARGET, process.keyring, "acme", batch=4)
    cursor = (await anext(steps)).cursor
    await steps.aclose()
    assert await remaining(process.place.engine, TARGET, SCOPE, 2) == 6
    assert sum(each.sealed_again for each in await run(process, after=cursor)) == 6
    assert await remaining(process.place.engine, TARGET, SCOPE, 2) == 0


async def test_what_another_writes_meanwhile_stays(
    process: FieldProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(process, 4)
    await rotate(process)
    keys = await process.keyring.load(SCOPE)
    sealing = keys.seal

    def another_is_quicker(value: bytes, column: FieldColumn, row: object) -> bytes:
        if row == 2:
            monkeypatch.undo()
            newer = keys.seal_text("newer@example.com", COLUMN, 2)
            with process.place.engine.begin() as connection:
                change = sa.update(PEOPLE).where(PEOPLE.c.id == 2).values(email=newer)
                connection.execute(change)
        return sealing(value, column, row)  # type: ignore[arg-type]

    monkeypatch.setattr(keys, "seal", another_is_quicker)
    (progress,) = await run(process)
    assert (progress.sealed_again, progress.changed_meanwhile) == (3, 1)
    row = next(each for each in read(process) if each.id == 2)
    assert keys.open_text(row.email, COLUMN, 2) == "newer@example.com"


async def test_a_row_that_is_given_to_another_tenant_meanwhile_is_left(
    process: FieldProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(process, 1)
    await rotate(process)
    keys = await process.keyring.load(SCOPE)
    sealing = keys.seal

    def given_away(value: bytes, column: FieldColumn, row: int) -> bytes:
        with process.place.engine.begin() as connection:
            connection.execute(sa.update(PEOPLE).values(tenant_id="other"))
        return sealing(value, column, row)

    monkeypatch.setattr(keys, "seal", given_away)
    (progress,) = await run(process)
    assert (progress.sealed_again, progress.changed_meanwhile) == (0, 1)


async def test_values_that_do_not_open_are_named_and_left(process: FieldProcess) -> None:
    await filled(process, 4)
    await rotate(process)
    with process.place.engine.begin() as connection:
        moved = sa.select(PEOPLE.c.email).where(PEOPLE.c.id == 1).scalar_subquery()
        connection.execute(sa.update(PEOPLE).where(PEOPLE.c.id == 2).values(email=moved))
        connection.execute(sa.update(PEOPLE).where(PEOPLE.c.id == 3).values(email=b"plain"))
    before = {row.id: row.email for row in read(process)}
    (progress,) = await run(process)
    assert (progress.sealed_again, progress.not_opened) == (2, (2, 3))
    after = {row.id: row.email for row in read(process)}
    assert [after[row] == before[row] for row in (2, 3)] == [True, True]


async def test_persons_have_keys_of_their_own_and_a_shredded_one_is_passed_over(
    process: FieldProcess,
) -> None:
    await filled(process, 3, personal=True)
    persons = [KeyScope("acme", "contact", str(number)) for number in (1, 2, 3)]
    await process.admin.shred(persons[1])
    await rotate(process, persons[0], persons[2])
    (progress,) = await run(process, target=PERSONAL)
    assert (progress.sealed_again, progress.destroyed) == (2, 1)
    engine = process.place.engine
    assert await remaining(engine, PERSONAL, persons[0], 2) == 0
    assert await remaining(engine, PERSONAL, persons[1], 2) == 1


async def test_other_tenants_and_nulls_are_left_alone(process: FieldProcess) -> None:
    await filled(process, 2)
    with process.place.engine.begin() as connection:
        connection.execute(sa.update(PEOPLE).where(PEOPLE.c.id == 1).values(tenant_id="other"))
        connection.execute(sa.update(PEOPLE).where(PEOPLE.c.id == 2).values(email=None))
    assert await run(process) == []


async def test_an_index_and_its_column_belong_together(process: FieldProcess) -> None:
    with pytest.raises(FieldInputFault, match="belong together"):
        replace(TARGET, index=None)
    with pytest.raises(FieldInputFault, match="has a subject"):
        await remaining(process.place.engine, PERSONAL, SCOPE, 2)
