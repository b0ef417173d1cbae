"""Kinds of nodes, and their arguments: what is not listed is refused."""

import pytest
from sqlglot import exp, parse_one

from workload.tenancy.clickhouse.guard.refused import QueryRefused
from workload.tenancy.clickhouse.guard.understood import NodeRules, refusal_at

RULES = NodeRules("tenant_id", ours=False)


def tree(query: str) -> exp.Expr:
    parsed = parse_one(query, read="clickhouse")
    assert isinstance(parsed, exp.Expr)
    return parsed


def test_ours_may_use_the_guards_names() -> None:
    query = 'SELECT "septem_rows"."a", {septem_tenant: UUID} FROM "t"'
    NodeRules("tenant_id", ours=True).check(tree(query))
    with pytest.raises(QueryRefused, match="septem_"):
        RULES.check(tree(query))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("DROP TABLE t", "kind DROP"),
        ("INSERT INTO t SELECT 1", "kind INSERT"),
        ("SELECT 1 SETTINGS a = 1", "SETTINGS in SELECT"),
        ("SELECT 1 FORMAT CSV", "FORMAT in SELECT"),
        ("SELECT a FROM t AS x (b)", "COLUMNS in TABLEALIAS"),
        ("SELECT * REPLACE (1 AS a) FROM t", "REPLACE in STAR"),
        ("SELECT x.y.z.w FROM t", "DB in COLUMN"),
        ("SELECT a FROM f(1)", "a table function"),
        ("SELECT a FROM {t:Identifier}", "named by a parameter"),
        ("SELECT {t:Identifier}", "no value"),
        ("SELECT 1 IN t", "IN before a name"),
        ("SELECT 1 IN (t)", "IN with a name"),
        ("SELECT 1 IN (1, (t))", "IN with a name"),
        ("SELECT 1 IN (1, f(t))", "IN with a name"),
        ("SELECT arrayMap(t -> 1 IN (t), [1])", "IN with a name"),
        ("SELECT 1 IN (1, (SELECT 2))", "IN with a name"),
        ("SELECT 1 AS Tenant_ID", "Tenant_ID"),
        ("SELECT (a -> 1)", "arrow"),
        ("SELECT arrayMap(x -> 1, [1]) FROM t SAMPLE 'a'", "SAMPLE"),
        ("SELECT a FROM t SAMPLE 1/2 OFFSET 1/2", "SAMPLE with OFFSET"),
        ("WITH RECURSIVE x AS (SELECT 1) SELECT 1 FROM x", "RECURSIVE"),
        ("SELECT 1 = ANY(SELECT 1)", "ANY"),
        ('SELECT "a.b"', "the name 'a.b'"),
        ("SELECT a <=> b", "NULLSAFEEQ"),
    ],
)
def test_what_is_not_understood_is_refused(query: str, said: str) -> None:
    with pytest.raises(QueryRefused, match=said):
        RULES.check(tree(query))


def test_a_place_is_the_first_name_in_or_around() -> None:
    query = tree("SELECT 1,\n a + 1\nFROM t")
    literal = next(iter(query.find_all(exp.Add))).expression
    assert (refusal_at(literal, "x").line, refusal_at(literal, "x").column) == (2, 6)
    assert refusal_at(exp.Null(), "x").line == 0
    assert str(refusal_at(exp.Null(), "x")) == "the query was not sent: x"
