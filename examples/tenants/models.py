"""The tables, as SQLAlchemy's ORM has them."""

from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from workload.encryption import KeyScope, caseless
from workload.encryption.orm import EncryptedText, FieldKeySource, SealedBytes
from workload.encryption.sql_key_store import key_table

CONTACT = "contact"
"""The class of data that e-mail addresses are of; each tenant has a key for it."""
field_keys = FieldKeySource()


class Base(DeclarativeBase):
    """Both databases' tables; the SQL that makes them is in orders.sql and accounts.sql."""


class Order(Base):
    """A row of the database ``orders``, which shows each tenant its own alone.

    ``email`` is the customer's address: sealed for this tenant, table, column and number, and
    found by its blind index. Set tenant and number before it.
    """

    __tablename__ = "orders"
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    item: Mapped[str]
    cents: Mapped[int] = mapped_column(BigInteger)
    email_sealed: Mapped[bytes | None] = mapped_column(SealedBytes)
    email_index: Mapped[bytes | None]
    email = EncryptedText(
        field_keys,
        "email_sealed",
        data_class=CONTACT,
        row="number",
        index="email_index",
        normalise=caseless,
    )


class Account(Base):
    """A row of the database ``accounts``: who may log in."""

    __tablename__ = "accounts"
    email: Mapped[str] = mapped_column(primary_key=True)
    """In lower case."""
    tenant_id: Mapped[UUID]
    password_hash: Mapped[str]


FIELD_KEYS = key_table(Base.metadata)
"""The wrapped data keys, in the database ``accounts`` too."""


def contact_scope(tenant_id: str) -> KeyScope:
    """Return whose key seals the e-mail addresses of a tenant's orders."""
    return KeyScope(tenant_id, CONTACT)
