"""Verifies a query as it will be sent: the guard. It knows nothing of how it was written.

It reads the text again, by both lexers and the parser, and lets it through if every word and
node is understood, the parser writes the same text again, and every table in it is one of

- a tenants' table, alone in ``(SELECT * FROM table WHERE table.tenant_id = {septem_tenant:…})``,
- a table that is listed as shared,
- a query of WITH by a name of the guard's, defined once.
"""

from collections import Counter
from typing import cast

from sqlglot import exp

from workload.tenancy.clickhouse.guard.lexer import tokens_of
from workload.tenancy.clickhouse.guard.lexical import check_calls, check_words
from workload.tenancy.clickhouse.guard.reading import agreed_tree, check_beginning, written
from workload.tenancy.clickhouse.guard.refused import QueryRefused
from workload.tenancy.clickhouse.guard.tables import CTE, PARAMETER, ROWS, GuardedTables
from workload.tenancy.clickhouse.guard.understood import NodeRules
from workload.tenancy.clickhouse.names import RESERVED, ClickHouseTable


def verify(sql: str, tables: GuardedTables) -> None:
    """Let a query through, or raise ``QueryRefused``."""
    plain, tokens = tokens_of(sql)
    if plain != sql:
        raise QueryRefused("a comment in what the guard has written")
    check_beginning(tokens)
    check_calls(sql, tokens)
    check_words(sql, tokens)
    tree = agreed_tree(sql, tokens)
    if written(tree) != sql:
        raise QueryRefused("a text that is written otherwise when it is read")
    NodeRules(tables.column, ours=True).check(tree)
    _check_guards_names(tree)
    common = Counter(each.alias for each in tree.find_all(exp.CTE) if not each.args.get("scalar"))
    for table in tree.find_all(exp.Table):
        _check_table(table, tables, common)


def _check_table(table: exp.Table, tables: GuardedTables, common: Counter[str]) -> None:
    if not table.db:
        if not table.name.startswith(CTE) or common[table.name] != 1 or table.args.get("sample"):
            raise QueryRefused(f"the table {table.name} without its database")
        return
    name = ClickHouseTable(table.db, table.name)
    if name in tables.shared:
        return
    if name not in tables.tenants or not _is_filtered(table, tables, tables.tenants[name].extra):
        raise QueryRefused(f"the table {name} without its tenant")


def _is_filtered(table: exp.Table, tables: GuardedTables, extra: tuple[str, ...]) -> bool:
    """Return whether a table stands alone in a subquery of the one form that is accepted."""
    source = table.parent if isinstance(table.parent, exp.Final) else table
    origin = source.parent
    select = origin.parent if isinstance(origin, exp.From) else None
    if not isinstance(select, exp.Select) or not isinstance(select.parent, exp.Subquery):
        return False
    parts = {name for name, value in select.args.items() if value}
    if parts != {"expressions", "from_", "where"} or table.alias != ROWS:
        return False
    star, *others = select.expressions
    if type(star) is not exp.Star or any(star.args.values()):
        return False
    if [each.sql("clickhouse") for each in others] != [f'"{each}"' for each in extra]:
        return False
    condition = select.args["where"].this
    return isinstance(condition, exp.EQ) and _compares(condition, tables)


def _compares(condition: exp.EQ, tables: GuardedTables) -> bool:
    column, tenant = condition.this, condition.expression
    return (
        type(column) is exp.Column
        and (column.table, column.name) == (ROWS, tables.column)
        and type(tenant) is exp.Placeholder
        and (tenant.name, cast("exp.Expr", tenant.args["kind"]).sql("clickhouse"))
        == (PARAMETER, tables.type)
    )


def _check_guards_names(tree: exp.Expr) -> None:
    """Refuse the guard's names anywhere but where it uses them."""
    for each in tree.find_all(exp.Identifier, exp.Placeholder):
        if each.name.lower().startswith(RESERVED) and not _is_used_by_us(each):
            raise QueryRefused(f"the name {each.name} where it is not the guard's")


def _is_used_by_us(node: exp.Expr) -> bool:
    parent = node.parent
    if isinstance(node, exp.Placeholder):
        return node.name == PARAMETER
    if isinstance(parent, exp.Column):
        return node.name == ROWS and node.arg_key == "table" and isinstance(parent.parent, exp.EQ)
    if isinstance(parent, exp.Table):
        return node.name.startswith(CTE)
    if not isinstance(parent, exp.TableAlias):
        return False
    named = parent.parent
    if isinstance(named, exp.CTE):
        return node.name.startswith(CTE) and not named.args.get("scalar")
    return node.name == ROWS and isinstance(named, exp.Table)
