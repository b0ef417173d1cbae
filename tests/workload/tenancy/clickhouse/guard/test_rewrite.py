"""What the rewriter makes of each place where a table can stand."""

import pytest
from sqlglot import parse_one

from workload.tenancy.clickhouse.guard.reading import written
from workload.tenancy.clickhouse.guard.refused import QueryRefused
from workload.tenancy.clickhouse.guard.rewrite import rewrite
from workload.tenancy.clickhouse.guard.tables import GuardedTables

TABLES = GuardedTables(["t", "u"], ["k"], database="d")
T = (
    '(SELECT * FROM "d"."{0}" AS "septem_rows"{1} '
    'WHERE "septem_rows"."tenant_id" = {{septem_tenant: UUID}}) AS "{2}"'
)


def filtered(table: str, alias: str, final: str = "") -> str:
    return T.format(table, final, alias)


COMMON = (
    f'WITH "septem_cte_1" AS (SELECT "a" FROM {filtered("t", "t")}) SELECT "a" FROM '
    '"septem_cte_1" AS "x" UNION ALL SELECT "b" FROM "septem_cte_1" AS "y"'
)
INNER = (
    'WITH "septem_cte_1" AS (SELECT 1) SELECT (WITH "septem_cte_2" AS (SELECT 2) '
    'SELECT 1 FROM "septem_cte_2" AS "x") FROM "septem_cte_1" AS "x"'
)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT a FROM t", f'SELECT "a" FROM {filtered("t", "t")}'),
        ("SELECT a FROM d.t AS x", f'SELECT "a" FROM {filtered("t", "x")}'),
        ("SELECT a FROM t FINAL", f'SELECT "a" FROM {filtered("t", "t", " FINAL")}'),
        ("SELECT a FROM t SAMPLE 1/2", f'SELECT "a" FROM {filtered("t", "t", " SAMPLE 1 / 2")}'),
        ("SELECT a FROM k", 'SELECT "a" FROM "d"."k" AS "k"'),
        ("SELECT a FROM k AS x FINAL", 'SELECT "a" FROM "d"."k" AS "x" FINAL'),
        (
            "SELECT 1 FROM t, u",
            f"SELECT 1 FROM {filtered('t', 't')} CROSS JOIN {filtered('u', 'u')}",
        ),
        (
            "SELECT a FROM t PREWHERE b OR c WHERE d OR e",
            f'SELECT "a" FROM {filtered("t", "t")} WHERE ("b" OR "c") AND ("d" OR "e")',
        ),
        (
            "SELECT a FROM t PREWHERE b OR c",
            f'SELECT "a" FROM {filtered("t", "t")} WHERE ("b" OR "c")',
        ),
        ("WITH x AS (SELECT a FROM t) SELECT a FROM x UNION ALL SELECT b FROM x AS y", COMMON),
        ("WITH x AS (SELECT 1) SELECT (WITH x AS (SELECT 2) SELECT 1 FROM x) FROM x", INNER),
        ("SELECT arrayMap(x -> f(x), [1])", 'SELECT arrayMap("x" -> f("x"), [1])'),
    ],
)
def test_each_table_gets_its_tenant(query: str, expected: str) -> None:
    assert written(rewrite(parse_one(query, read="clickhouse"), TABLES)) == expected


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT 1 FROM other", "the table d.other"),
        ("SELECT 1 FROM x.t", "the table x.t"),
        ("SELECT a FROM t FINAL PREWHERE b", "PREWHERE with FINAL"),
        ("SELECT a FROM k JOIN t FINAL ON 1 PREWHERE b", "PREWHERE with FINAL"),
        ("WITH t AS (SELECT 1) SELECT 1 FROM t", "a table's name"),
        ("WITH x AS (SELECT 1) SELECT 1 FROM x FINAL", "FINAL or SAMPLE of x"),
        ("WITH x AS (SELECT 1) SELECT 1 FROM x SAMPLE 1/2", "FINAL or SAMPLE of x"),
        ("SELECT * FROM (WITH x AS (SELECT 1) SELECT 1 FROM x) AS y, x", "the table d.x"),
    ],
)
def test_what_has_no_tenant_is_refused(query: str, said: str) -> None:
    with pytest.raises(QueryRefused, match=said):
        rewrite(parse_one(query, read="clickhouse"), TABLES)
