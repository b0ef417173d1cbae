"""Which tables there are; what can't be meant is refused when it is said."""

from typing import Any

import pytest

from workload.settings import SettingsFault
from workload.tenancy.clickhouse.guard.tables import GuardedTables
from workload.tenancy.clickhouse.names import ClickHouseTable


def test_tables_are_found_by_database_and_spelling() -> None:
    tables = GuardedTables(["t", "b.u"], ["k"], database="a")
    assert tables.find("", "t") == tables.find("a", "t") == ClickHouseTable("a", "t")
    assert tables.find("b", "u") == ClickHouseTable("b", "u")
    assert tables.find("", "k") in tables.shared
    for database, table in (("", "u"), ("A", "t"), ("a", "T"), ("c", "t"), ("", "")):
        assert tables.find(database, table) is None
    assert tables.names == {"t", "u", "k"}
    assert tables.meant("", "x") == "a.x"
    assert GuardedTables(["a.t"]).meant("", "x") == "x"


@pytest.mark.parametrize(
    ("tenants", "shared", "options", "said"),
    [
        ([], ["a.k"], {}, "name the tables"),
        (["t"], [], {}, "no database"),
        (["a.t"], ["a.t"], {}, "a tenants' or shared"),
        (["a.t"], [], {"extra": {"a.u": ("c",)}}, "extra columns"),
        (["a.t"], ["a.k"], {"extra": {"a.k": ("c",)}}, "extra columns"),
        (["a.t"], ["system.query_log"], {}, "belongs to the server"),
        (["INFORMATION_SCHEMA.tables"], [], {}, "belongs to the server"),
        (["a.t"], [], {"column": "a b"}, "no name"),
        (["a.t"], [], {"tenant_type": "int"}, "neither uuid nor text"),
        (["a.t"], [], {"extra": {"a.t": ("a) x",)}}, "no name"),
        (["a.t;"], [], {}, "no name"),
        (["a.septem_t"], [], {}, "no name"),
    ],
)
def test_settings_that_can_not_be_meant(
    tenants: list[str], shared: list[str], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsFault, match=said):
        GuardedTables(tenants, shared, **options)
