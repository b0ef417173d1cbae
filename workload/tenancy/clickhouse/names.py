"""Names of ClickHouse, read and quoted. Pure."""

import re
from typing import NamedTuple, Self

from workload.settings import SettingsFault

_PART = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
RESERVED = "septem_"
"""Names that begin so are the guard's own."""


def checked_name(name: str) -> str:
    """Return a name that needs no escape anywhere. Raises ``SettingsFault`` for another.

    Names with other characters exist in ClickHouse; its readers differ in how they escape them,
    so neither what is written for the server nor the guard takes one.
    """
    if not _PART.fullmatch(name) or name.lower().startswith(RESERVED):
        raise SettingsFault(
            f"{name!r} is no name: 1 to 128 letters, digits and _, not a digit first, and not "
            f"{RESERVED}…"
        )
    return name


def quote_name(name: str) -> str:
    """Return a checked name in backquotes. Raises ``SettingsFault``."""
    return f"`{checked_name(name)}`"


def quote_text(text: str) -> str:
    """Return a literal of ClickHouse. Raises ``SettingsFault`` for control characters."""
    if not text.isprintable():
        raise SettingsFault(f"{text!r} holds a character that can't be printed")
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class ClickHouseTable(NamedTuple):
    """A table with its database."""

    database: str
    table: str

    @classmethod
    def read(cls, text: str, database: str = "") -> Self:
        """Read ``database.table``, or ``table`` of a database. Raises ``SettingsFault``."""
        before, dot, name = text.rpartition(".")
        if not (before if dot else database):
            raise SettingsFault(f"{text!r} has no database: write database.table")
        return cls(checked_name(before if dot else database), checked_name(name))

    def __str__(self) -> str:
        return f"{quote_name(self.database)}.{quote_name(self.table)}"
