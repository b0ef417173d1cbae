"""Models with sealed attributes, in a real database, with sessions of both kinds."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tests.workload.encryption.databases import ASYNC_DRIVERS, FieldDatabase
from tests.workload.encryption.keys_in_hand import in_hand
from workload.encryption import KeyScope, ScopeKeys, caseless, ip_address
from workload.encryption.errors import (
    FieldInputFault,
    FieldKeysMissing,
    ValueDoesNotOpen,
)
from workload.encryption.orm import EncryptedText, FieldKeySource, SealedBytes

KEYS = FieldKeySource()


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "people"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[str]
    email_sealed: Mapped[bytes | None] = mapped_column(SealedBytes)
    email_index: Mapped[bytes | None] = mapped_column(index=True)
    note_sealed: Mapped[bytes | None] = mapped_column(SealedBytes)

    email = EncryptedText(
        KEYS, "email_sealed", data_class="contact", index="email_index", normalise=caseless
    )
    note = EncryptedText(KEYS, "note_sealed", data_class="health", subject="id")


class Device(Base):
    __tablename__ = "devices"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    address_sealed: Mapped[bytes | None] = mapped_column(SealedBytes)
    address_index: Mapped[bytes | None]

    address = EncryptedText(
        KEYS, "address_sealed", data_class="contact", index="address_index", normalise=ip_address
    )


@pytest.fixture
def engine(database: FieldDatabase) -> Iterator[sa.Engine]:
    held: dict[KeyScope, ScopeKeys] = {}
    KEYS.use(lambda scope: held.setdefault(scope, in_hand(scope)))
    made = sa.create_engine(database.url())
    Base.metadata.create_all(made)
    yield made
    made.dispose()


def person(tenant: str = "acme", email: str | None = "Someone@Example.com") -> Person:
    return Person(id=uuid4(), tenant_id=tenant, email=email, note="asthma")


def test_what_is_set_is_sealed_in_the_database_and_read_again(engine: sa.Engine) -> None:
    with Session(engine) as session:
        session.add(person())
        session.commit()
        (raw,) = session.execute(sa.text("SELECT email_sealed FROM people"))
        assert raw[0][0] == 1
        assert b"xample" not in raw[0]
        found = session.scalars(sa.select(Person)).one()
        assert (found.email, found.note) == ("Someone@Example.com", "asthma")
        found.email = "other@example.com"
        session.commit()
        assert found.email == "other@example.com"
        found.email = None
        session.commit()
        assert found.email is None
        assert found.email_index is None


def test_a_search_finds_equal_values_of_one_tenant(engine: sa.Engine) -> None:
    with Session(engine) as session:
        session.add_all(
            [person(), person("other"), person(email="b@example.com"), person(email=None)]
        )
        session.commit()
        for text in ("someone@example.com", "SOMEONE@EXAMPLE.COM"):
            found = session.scalars(
                sa.select(Person).where(Person.email.equals("acme", text))
            ).all()
            assert [each.email for each in found] == ["Someone@Example.com"]
        nobody = sa.select(Person).where(Person.email.equals("third", "someone@example.com"))
        assert session.scalars(nobody).all() == []
        assert "people.tenant_id = :" in str(nobody), "a short token may be another tenant's too"
    with pytest.raises(FieldInputFault, match="no blind index"):
        Person.note.equals("acme", "asthma")


def test_a_tenants_id_may_be_a_uuid(engine: sa.Engine) -> None:
    tenant = uuid4()
    with Session(engine) as session:
        session.add(Device(id=7, tenant_id=tenant, address="::ffff:192.0.2.1"))
        session.commit()
        query = sa.select(Device).where(Device.address.equals(str(tenant), "192.0.2.1"))
        assert session.scalars(query).one().address == "::ffff:192.0.2.1"


def test_a_value_that_was_put_into_another_row_or_column_does_not_open(engine: sa.Engine) -> None:
    with Session(engine) as session:
        one, other = person(), person(email="victim@example.com")
        session.add_all([one, other])
        session.commit()
        one.email_sealed = other.email_sealed
        session.commit()
        with pytest.raises(ValueDoesNotOpen):
            _ = one.email
        other.note_sealed = other.email_sealed
        session.commit()
        with pytest.raises(ValueDoesNotOpen):
            _ = other.note
        other.tenant_id = "thief"
        with pytest.raises(ValueDoesNotOpen):
            _ = other.email


@pytest.mark.parametrize("plain", [b"someone@example.com", b"", "text", b"\x01" * 20])
def test_plain_text_does_not_get_into_the_column(engine: sa.Engine, plain: bytes) -> None:
    with Session(engine) as session:
        made = person()
        made.email_sealed = plain
        session.add(made)
        with pytest.raises(StatementError, match="sealed values only"):
            session.commit()


def test_a_row_without_an_id_or_a_tenant_takes_no_value(engine: sa.Engine) -> None:
    for made in (Person(tenant_id="acme"), Person(id=uuid4()), Person(id=uuid4(), tenant_id="")):
        with pytest.raises(FieldInputFault, match="before the sealed attribute"):
            made.email = "x@example.com"
    engine.dispose()


def test_a_comparison_that_would_be_false_for_every_row_is_refused() -> None:
    with pytest.raises(FieldInputFault, match="equals"):
        _ = Person.email == "x"
    with pytest.raises(FieldInputFault, match="equals"):
        _ = Person.email != "x"


def test_index_and_normalise_belong_together() -> None:
    with pytest.raises(FieldInputFault, match="belong together"):
        EncryptedText(KEYS, "a", data_class="c", index="b")


def test_without_a_keyring_it_says_what_to_do() -> None:
    with pytest.raises(FieldKeysMissing, match=r"use\(\)"):
        FieldKeySource()(KeyScope("acme", "contact"))


async def test_an_async_session(engine: sa.Engine, database: FieldDatabase) -> None:
    engine.dispose()
    other = create_async_engine(database.url(ASYNC_DRIVERS))
    async with AsyncSession(other, expire_on_commit=False) as session:
        session.add(person())
        await session.commit()
        found = (await session.scalars(sa.select(Person))).one()
        assert found.email == "Someone@Example.com"
    await other.dispose()
