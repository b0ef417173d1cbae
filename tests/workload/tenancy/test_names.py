"""Names are read as PostgreSQL reads them, and quoted so that they mean nothing else."""

import pytest

from workload.settings import SettingsFault
from workload.tenancy.names import TableName, dollar_quote, quote_name, quote_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("contacts", ("public", "contacts")),
        ("Sales.Contacts", ("sales", "contacts")),
        ('"Sales"."Con.tacts"', ("Sales", "Con.tacts")),
        ('sales."O""Brien; DROP"', ("sales", 'O"Brien; DROP')),
        ("été.ça", ("été", "ça")),
    ],
)
def test_a_table_is_read(text: str, expected: tuple[str, str]) -> None:
    assert TableName.read(text) == expected
    assert TableName.read(str(TableName.read(text))) == expected


@pytest.mark.parametrize(
    "text",
    ["", ".", "a.", ".a", "a.b.c", 'a."b', 'a""b', "a b", "a;b", "1a", '""', "a" * 64, "a-b"],
)
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(SettingsFault):
        TableName.read(text)


def test_quotes_hold() -> None:
    assert quote_name('a"b') == '"a""b"'
    assert quote_text("a'b") == "'a''b'"
    assert quote_text("a\\'b") == "E'a\\\\''b'"
    assert dollar_quote("$septem$ $septem1$").startswith("$septem2$")
    for wrong in ("", "a\0", "é" * 32):
        with pytest.raises(SettingsFault):
            quote_name(wrong)
    with pytest.raises(SettingsFault):
        quote_text("\0")
