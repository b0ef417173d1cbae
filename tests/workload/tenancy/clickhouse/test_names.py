"""Names of ClickHouse."""

import pytest

from workload.settings import SettingsFault
from workload.tenancy.clickhouse.names import ClickHouseTable, checked_name, quote_name, quote_text


def test_names_are_quoted() -> None:
    assert quote_name("orders_2") == "`orders_2`"
    assert str(ClickHouseTable.read("a.B")) == "`a`.`B`"
    assert ClickHouseTable.read("t", "a") == ClickHouseTable("a", "t")
    assert quote_text("it's \\ é") == "'it\\'s \\\\ é'"


@pytest.mark.parametrize(
    "name", ["", "a b", "a`b", 'a"b', "a\\b", "1a", "a-b", "é", "a\n", "septem_x", "SEPTEM_X",
             "x" * 129, "a.b"],
)  # fmt: skip
def test_odd_names_are_none(name: str) -> None:
    with pytest.raises(SettingsFault):
        checked_name(name)


@pytest.mark.parametrize("text", ["t", "a.", ".t", "a.b.t", "a.t;", ""])
def test_a_table_is_database_and_name(text: str) -> None:
    with pytest.raises(SettingsFault):
        ClickHouseTable.read(text)


def test_a_text_can_be_printed() -> None:
    with pytest.raises(SettingsFault):
        quote_text("a\nb")
