"""The verifier alone: texts as a wrong rewriter would write them, which it must not let through."""

import pytest

from tests.support.clickhouse_attacks import SENT, SHARED, TENANTS
from workload.tenancy.clickhouse.guard import queries
from workload.tenancy.clickhouse.guard.queries import QueryGuard
from workload.tenancy.clickhouse.guard.refused import GuardDisagrees, QueryRefused
from workload.tenancy.clickhouse.guard.tables import GuardedTables
from workload.tenancy.clickhouse.guard.verify import verify

TABLES = GuardedTables(TENANTS, SHARED, database="app")
INNER = (
    'SELECT * FROM "app"."contacts" AS "septem_rows" '
    'WHERE "septem_rows"."tenant_id" = {septem_tenant: UUID}'
)
GOOD = f'SELECT "name" FROM ({INNER}) AS "c" WHERE "id" > 1'
CHANGES = {
    "no condition": (' WHERE "septem_rows"."tenant_id" = {septem_tenant: UUID}', ""),
    "not equal": ('"tenant_id" = ', '"tenant_id" <> '),
    "another column": ('"septem_rows"."tenant_id"', '"septem_rows"."id"'),
    "a column without its table": ('"septem_rows"."tenant_id"', '"tenant_id"'),
    "another's column": ('"septem_rows"."tenant_id"', '"c"."tenant_id"'),
    "another parameter": ("{septem_tenant: UUID}", "{other: UUID}"),
    "another type": ("{septem_tenant: UUID}", "{septem_tenant: String}"),
    "a literal": ("{septem_tenant: UUID}", "'7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11'"),
    "the column itself": ("{septem_tenant: UUID}", '"septem_rows"."tenant_id"'),
    "or": ("{septem_tenant: UUID}", "{septem_tenant: UUID} OR 1"),
    "and": ("{septem_tenant: UUID}", "{septem_tenant: UUID} AND 1"),
    "not": ('WHERE "septem_rows"', 'WHERE NOT "septem_rows"'),
    "in brackets": ("{septem_tenant: UUID}", "({septem_tenant: UUID})"),
    "another alias": ('AS "septem_rows"', 'AS "c"'),
    "no alias": (' AS "septem_rows"', ""),
    "no database": ('"app"."contacts"', '"contacts"'),
    "another database": ('"app"."contacts"', '"other"."contacts"'),
    "a table of nobody": ('"app"."contacts"', '"app"."salaries"'),
    "columns": ("SELECT *", 'SELECT "id"'),
    "a star less something": ("SELECT *", 'SELECT * EXCEPT ("id")'),
    "a star of the table": ("SELECT *", 'SELECT "septem_rows".*'),
    "a second column": ("SELECT *", "SELECT *, 1"),
    "distinct": ("SELECT *", "SELECT DISTINCT *"),
    "a join within": (' AS "septem_rows" ', ' AS "septem_rows" CROSS JOIN "app"."visits" '),
    "a shared join within": (
        ' AS "septem_rows" ',
        ' AS "septem_rows" CROSS JOIN "app"."countries" ',
    ),
    "a group": ("{septem_tenant: UUID}", "{septem_tenant: UUID} GROUP BY ALL"),
    "a limit": ("{septem_tenant: UUID}", "{septem_tenant: UUID} LIMIT 1"),
    "a union within": ("{septem_tenant: UUID}", "{septem_tenant: UUID} UNION ALL SELECT 1"),
    "a bare table beside": ('AS "c"', 'AS "c" CROSS JOIN "app"."visits" AS "v"'),
    "a table of WITH that is not there": ('AS "c"', 'AS "c" CROSS JOIN "septem_cte_1" AS "v"'),
    "settings": ('"id" > 1', '"id" > 1 SETTINGS max_threads = 1'),
    "a format": ('"id" > 1', '"id" > 1 FORMAT TSV'),
    "a comment": ('"id" > 1', '"id" > 1 -- x'),
    "a statement": ('"id" > 1', '"id" > 1; SELECT 1'),
    "a bare name": ('"id" > 1', "id > 1"),
    "a name of the tenant's": ('SELECT "name"', 'SELECT 1 AS "tenant_id"'),
    "the guard's alias": ('SELECT "name"', 'SELECT 1 AS "septem_rows"'),
    "the guard's alias of WITH": ('SELECT "name"', 'WITH 1 AS "septem_rows" SELECT "name"'),
    "the guard's rows elsewhere": ('"id" > 1', '"septem_rows"."id" > 1'),
    "the guard's rows compared": ('"id" > 1', '"septem_rows" = 1'),
    "the guard's rows as a subquery's name": ('AS "c"', 'AS "septem_rows"'),
    "the parameter elsewhere, as a name": ('"id" > 1', '"septem_tenant" > 1'),
    "another spelling": ('SELECT "name"', 'select "name"'),
    "two blanks": ('SELECT "name"', 'SELECT  "name"'),
    "a function": ('"id" > 1', "file('x') > 1"),
    "a table as a set": ('"id" > 1', '"id" IN "salaries"'),
    "another statement": (GOOD, 'DROP TABLE "app"."contacts"'),
    "a command": (GOOD, "SHOW TABLES"),
    "nothing": (GOOD, ""),
}


def test_what_is_right_is_let_through() -> None:
    verify(GOOD, TABLES)


@pytest.mark.parametrize("name", CHANGES)
def test_one_change_is_noticed(name: str) -> None:
    old, new = CHANGES[name]
    assert old in GOOD
    with pytest.raises(QueryRefused):
        verify(GOOD.replace(old, new, 1), TABLES)


@pytest.mark.parametrize("name", [name for name in SENT if name != "no table"])
def test_a_query_as_it_was_written_is_not_let_through(name: str) -> None:
    with pytest.raises(QueryRefused):
        verify(SENT[name].replace("FROM contacts", 'FROM "app"."contacts"'), TABLES)


def test_a_query_of_with_is_defined_once() -> None:
    one = 'WITH "septem_cte_1" AS (SELECT 1 AS "a") SELECT "a" FROM "septem_cte_1" AS "x"'
    verify(one, TABLES)
    two = one.replace("(SELECT 1", '(WITH "septem_cte_1" AS (SELECT 1) SELECT 1')
    with pytest.raises(QueryRefused, match="septem_cte_1"):
        verify(two, TABLES)


def test_columns_that_a_star_leaves_out_are_those_of_the_settings() -> None:
    tables = GuardedTables(TENANTS, database="app", extra={"contacts": ("day",)})
    verify(GOOD.replace("SELECT *", 'SELECT *, "day"'), tables)
    for other in ('SELECT *, "hour"', "SELECT *", 'SELECT *, "day", "hour"', 'SELECT "day", *'):
        with pytest.raises(QueryRefused):
            verify(GOOD.replace("SELECT *", other), tables)


def test_what_a_wrong_rewriter_writes_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "rewrite", lambda tree, _: tree)
    with pytest.raises(GuardDisagrees, match="without its database"):
        QueryGuard(TABLES).query("SELECT name FROM contacts")
