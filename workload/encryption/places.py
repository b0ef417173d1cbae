"""Where a value belongs, in bytes that can be read one way only. Pure.

The bytes are the associated data of AES-GCM: a value that is put anywhere else does not open.
Each part has its length before it, in four bytes: no two places have the same bytes.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from workload.encryption.errors import FieldInputFault

MAX_PART_BYTES = 1024
MAX_ROW_PARTS = 16
RowId = str | int | UUID | tuple[str | int | UUID, ...]
"""A row's primary key; of several columns a tuple, in the order of the key."""


class KeyPurpose(enum.StrEnum):
    """What a data key may be used for."""

    SEAL = "seal"
    INDEX = "index"


@dataclass(frozen=True, slots=True)
class KeyScope:
    """Whose data a key seals: a tenant's, of one class, and of one person where it says so.

    ``subject`` is an id, and no name or address: it stands in the key store in the clear.
    """

    tenant: str
    data_class: str
    subject: str = ""
    purpose: KeyPurpose = KeyPurpose.SEAL
    encoded: bytes = field(init=False, repr=False, compare=False)
    """The scope as bytes: the beginning of the associated data, and the context of the KEK."""

    def __post_init__(self) -> None:
        if not self.tenant or not self.data_class:
            raise FieldInputFault("a key's scope needs a tenant and a class")
        if self.purpose is KeyPurpose.INDEX and self.subject:
            raise FieldInputFault("an index is a tenant's: its key has no subject")
        parts = (self.purpose.value, self.tenant, self.data_class, self.subject)
        object.__setattr__(self, "encoded", encode_parts(map(_text, parts)))

    def for_index(self) -> "KeyScope":
        """Return the scope of the keys of this tenant's and class's blind indexes."""
        return KeyScope(self.tenant, self.data_class, purpose=KeyPurpose.INDEX)


@dataclass(frozen=True, slots=True)
class FieldColumn:
    """A column whose values are sealed. Its names are bound in: a renamed column needs sealing."""

    table: str
    column: str
    encoded: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.table or not self.column:
            raise FieldInputFault("a column needs a table and a name")
        object.__setattr__(self, "encoded", encode_parts((_text(self.table), _text(self.column))))


def encode_row(row: RowId) -> bytes:
    """Return a row's id as bytes. An integer is its decimal text, a UUID its canonical text."""
    parts = row if isinstance(row, tuple) else (row,)
    if not 0 < len(parts) <= MAX_ROW_PARTS:
        raise FieldInputFault(f"a row's id has 1 to {MAX_ROW_PARTS} parts")
    return encode_parts([_row_part(part) for part in parts])


def encode_parts(parts: Iterable[bytes]) -> bytes:
    """Join parts, each with its length in four bytes before it."""
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])


def _row_part(part: object) -> bytes:
    if type(part) is int:  # True and False are no ids
        return str(part).encode() if part.bit_length() <= MAX_PART_BYTES else _refuse()
    if isinstance(part, UUID):
        return str(part).encode()
    if isinstance(part, str) and part:
        return _text(part)
    return _refuse()


def _refuse() -> bytes:
    raise FieldInputFault(
        "a row's id is a text that is not empty, an integer, a UUID, or a tuple of these; "
        "give the row its id before its values are sealed"
    )


def _text(text: object) -> bytes:
    if not isinstance(text, str):
        raise FieldInputFault("tenant, class, subject, table and column are texts")
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise FieldInputFault("a text has a lone surrogate, and no bytes in UTF-8") from None
    if 0 in encoded:
        raise FieldInputFault("a name or an id has a NUL, which no database holds")
    if len(encoded) > MAX_PART_BYTES:
        raise FieldInputFault(f"a name or an id has more than {MAX_PART_BYTES} bytes")
    return encoded
