"""Names of PostgreSQL, read and quoted. Pure."""

import re
from typing import NamedTuple, Self

from workload.settings import SettingsFault

MAX_BYTES = 63
_PART = re.compile(r'"((?:[^"\x00]|"")+)"|([A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*)')


def quote_name(name: str) -> str:
    """Return an identifier, quoted. Raises ``SettingsFault`` for what can be none.

    A name beyond 63 bytes is none: PostgreSQL would cut it, and mean another table.
    """
    if not name or "\0" in name or len(name.encode()) > MAX_BYTES:
        raise SettingsFault(f"{name!r} is no name: 1 to {MAX_BYTES} bytes, without NUL")
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return a literal that reads the same whatever ``standard_conforming_strings`` is."""
    if "\0" in text:
        raise SettingsFault(f"{text!r} holds NUL, which no text of PostgreSQL may")
    doubled = text.replace("'", "''")
    return f"'{doubled}'" if "\\" not in text else "E'" + doubled.replace("\\", "\\\\") + "'"


def dollar_quote(body: str) -> str:
    """Return a body between dollar quotes whose tag does not stand in it."""
    tag, number = "$septem$", 0
    while tag in body:
        number += 1
        tag = f"$septem{number}$"
    return f"{tag}\n{body}\n{tag}"


class TableName(NamedTuple):
    """A table with its schema."""

    schema: str
    table: str

    @classmethod
    def read(cls, text: str) -> Self:
        """Read ``schema.table`` as PostgreSQL does: unquoted parts in lower case.

        A table without a schema is in ``public``. Raises ``SettingsFault``.
        """
        parts: list[str] = []
        position = 0
        while found := _PART.match(text, position):
            parts.append(found[2].lower() if found[1] is None else found[1].replace('""', '"'))
            position = found.end()
            if text[position : position + 1] != ".":
                break
            position += 1
        if position != len(text) or text.endswith(".") or not 0 < len(parts) <= 2:  # noqa: PLR2004 - schema, table
            raise SettingsFault(
                f"{text!r} is no table: write schema.table, with double quotes around what has "
                "capitals or other characters"
            )
        schema, table = parts if len(parts) > 1 else ("public", parts[0])
        quote_name(schema), quote_name(table)
        return cls(schema, table)

    def __str__(self) -> str:
        return f"{quote_name(self.schema)}.{quote_name(self.table)}"
