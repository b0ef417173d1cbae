"""The guard as a whole: what an attacker writes is refused, or reads his own rows.

What the engine makes of what is sent stands in ``test_engine``.
"""

import pytest

from tests.support.clickhouse_attacks import REFUSED, SENT, SHARED, TENANTS
from workload.settings import SettingsFault
from workload.tenancy.clickhouse.guard.queries import QueryGuard
from workload.tenancy.clickhouse.guard.refused import GuardDisagrees, QueryRefused
from workload.tenancy.clickhouse.guard.tables import GuardedTables
from workload.tenancy.context import TenancyFault

GUARD = QueryGuard(GuardedTables(TENANTS, SHARED, database="app"))
FILTERED = (
    '(SELECT * FROM "app"."{0}" AS "septem_rows" '
    'WHERE "septem_rows"."tenant_id" = {{septem_tenant: UUID}})'
)


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_and_says_what(name: str) -> None:
    query, said = REFUSED[name]
    with pytest.raises(QueryRefused) as refused:
        GUARD.query(query)
    assert said in str(refused.value)
    assert not isinstance(refused.value, GuardDisagrees), refused.value
    assert isinstance(refused.value, TenancyFault)


@pytest.mark.parametrize("name", SENT)
def test_it_sends_each_table_with_its_tenant(name: str) -> None:
    text = GUARD.query(SENT[name])
    for table in TENANTS:
        plain = FILTERED.format(table)
        bare = text.replace(plain, "").replace(plain.replace(" WHERE", " FINAL WHERE"), "")
        bare = bare.replace(plain.replace(" WHERE", " SAMPLE 1 / 2 WHERE"), "")
        assert f'"app"."{table}"' not in bare, text


def test_a_refusal_names_the_place() -> None:
    with pytest.raises(QueryRefused) as refused:
        GUARD.query("SELECT name\nFROM contacts\n  JOIN salaries AS s ON 1 = 1")
    assert (refused.value.line, refused.value.column) == (3, 8)
    assert str(refused.value) == (
        "the query was not sent: the table app.salaries at line 3, column 8: "
        "list it as the tenants' or as shared, if it is"
    )


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("SELECT 1,\n dictGet('a', 'b', 1)", (2, 2)),
        ("SELECT 1\n  ;", (2, 3)),
        ("SELECT id FROM contacts\nWHERE id IN visits", (2, 7)),
        ("SELECT\n'x' AS tenant_id", (2, 1)),
        ("INSERT INTO contacts (id)\nSELECT id FROM salaries", (2, 16)),
    ],
)
def test_places_are_those_of_what_was_written(query: str, place: tuple[int, int]) -> None:
    with pytest.raises(QueryRefused) as refused:
        GUARD.query(query)
    assert (refused.value.line, refused.value.column) == place


def test_an_insert_gets_the_tenant_as_its_last_column() -> None:
    assert GUARD.query("INSERT INTO contacts (id, name) SELECT contact, page FROM visits") == (
        'INSERT INTO "app"."contacts" ("id", "name", "tenant_id") '
        'SELECT *, {septem_tenant: UUID} FROM (SELECT "contact", "page" FROM '
        f'{FILTERED.format("visits")} AS "visits")'
    )
    assert GUARD.query("insert into table app.`contacts` (`id`) with 1 as x select x").startswith(
        'INSERT INTO "app"."contacts" ("id", "tenant_id") '
        "SELECT *, {septem_tenant: UUID} FROM (WITH"
    )


def test_a_text_is_the_same_for_every_tenant_and_remembered() -> None:
    assert GUARD.query(SENT["everything"]) is GUARD.query(SENT["everything"])


def test_a_tenant_of_text_and_columns_that_a_star_leaves_out() -> None:
    tables = GuardedTables(
        ["app.t"], column="org", tenant_type="text", extra={"app.t": ("day", "hour")}
    )
    assert QueryGuard(tables).query("SELECT day FROM app.t") == (
        'SELECT "day" FROM (SELECT *, "day", "hour" FROM "app"."t" AS "septem_rows" '
        'WHERE "septem_rows"."org" = {septem_tenant: String}) AS "t"'
    )


def test_without_a_database_a_table_needs_one() -> None:
    guard = QueryGuard(GuardedTables(["app.contacts"]))
    assert '"app"."contacts"' in guard.query("SELECT 1 FROM app.contacts")
    with pytest.raises(QueryRefused, match="the table contacts"):
        guard.query("SELECT 1 FROM contacts")
    with pytest.raises(SettingsFault, match="database"):
        guard.query("INSERT INTO contacts (id) SELECT 1")


def test_rows_of_a_client_are_for_listed_tables_alone() -> None:
    table, columns = GUARD.insert_into("contacts", ["id", "name"])
    assert (str(table), columns) == ("`app`.`contacts`", ["id", "name", "tenant_id"])
    for name, given in (("countries", ["code"]), ("contacts", ["Tenant_Id"])):
        with pytest.raises(QueryRefused):
            GUARD.insert_into(name, given)
    with pytest.raises(SettingsFault):
        GUARD.insert_into("contacts", ["id) SELECT 1 --"])
