"""Puts the tenant's condition around every table of a query.

Each table that holds tenants' rows becomes ``(SELECT * FROM table WHERE tenant_id = tenant)``.
A condition that was appended to the query's own WHERE would not hold: in ClickHouse a name that
the query gives (``SELECT 'x' AS tenant_id``) stands for the column there. Inside the parentheses
nothing is of the query, and every name is qualified.

Names of WITH are replaced by the guard's own, so that none is taken for a table, or a table for
one, where the scopes of the parser and of ClickHouse differ.
"""

from collections.abc import Iterator, Mapping

from sqlglot import exp

from workload.tenancy.clickhouse.guard.refused import QueryRefused
from workload.tenancy.clickhouse.guard.tables import CTE, PARAMETER, ROWS, GuardedTables
from workload.tenancy.clickhouse.guard.understood import refusal_at
from workload.tenancy.clickhouse.names import ClickHouseTable

Scope = Mapping[str, str]


def rewrite(tree: exp.Expr, tables: GuardedTables) -> exp.Expr:
    """Return the query with each table in it filtered. Raises ``QueryRefused``.

    ``tree`` is one that ``understood`` let through; it is changed.
    """
    rewritten = _Rewriter(tables).visit(tree, {})
    for each in rewritten.find_all(exp.Identifier):
        each.set("quoted", True)  # a lambda's argument is else written bare
    return rewritten


class _Rewriter:
    def __init__(self, tables: GuardedTables) -> None:
        self._tables = tables
        self._count = 0

    def visit(self, node: exp.Expr, scope: Scope) -> exp.Expr:
        """Return what stands in the place of a node."""
        if isinstance(node, exp.Table | exp.Final):
            return self._rows(node, scope)
        if isinstance(node, exp.Select):
            _join_prewhere(node)
        clause = node.args.get("with_")
        if clause is not None:
            scope = self._common(clause, scope)
        for child in list(node.iter_expressions()):
            if child is not clause:
                replaced = self.visit(child, scope)
                if replaced is not child:
                    child.replace(replaced)
        return node

    def _common(self, clause: exp.Expr, scope: Scope) -> Scope:
        """Rename the common table expressions of a WITH; each sees those before it."""
        for each in clause.expressions:
            self.visit(each, scope)
            name = each.alias
            if each.args.get("scalar"):
                continue
            if name in self._tables.names:
                raise refusal_at(each, f"WITH {name}, which is a table's name", "name it otherwise")
            self._count += 1
            renamed = f"{CTE}{self._count}"
            each.set("alias", exp.TableAlias(this=exp.to_identifier(renamed, quoted=True)))
            scope = {**scope, name: renamed}
        return scope

    def _rows(self, node: exp.Expr, scope: Scope) -> exp.Expr:
        final = isinstance(node, exp.Final)
        table = node.this if final else node
        if not isinstance(table, exp.Table):
            raise refusal_at(node, "FINAL of what is no table")
        alias = table.alias or table.name
        if not table.db and table.name in scope:
            if final or table.args.get("sample"):
                raise refusal_at(table, f"FINAL or SAMPLE of {table.name}, which is a query's rows")
            return _aliased(exp.to_table(f'"{scope[table.name]}"', dialect="clickhouse"), alias)
        found = self._tables.find(table.db, table.name)
        if found is None:
            name = self._tables.meant(table.db, table.name)
            raise refusal_at(
                table, f"the table {name}", "list it as the tenants' or as shared, if it is"
            )
        plain = exp.Table(this=_quoted(found.table), db=_quoted(found.database))
        if found in self._tables.shared:
            plain.set("sample", table.args.get("sample"))
            plain.set("alias", exp.TableAlias(this=_quoted(alias)))
            return exp.Final(this=plain) if final else plain
        plain.set("sample", table.args.get("sample"))
        return self._filtered(found, plain, alias, final=final)

    def _filtered(
        self, name: ClickHouseTable, table: exp.Table, alias: str, *, final: bool
    ) -> exp.Expr:
        table.set("alias", exp.TableAlias(this=_quoted(ROWS)))
        tenant = exp.Placeholder(
            this=exp.Var(this=PARAMETER), kind=exp.DataType.build(self._tables.type, "clickhouse")
        )
        column = exp.Column(this=_quoted(self._tables.column), table=_quoted(ROWS))
        hidden = [exp.Column(this=_quoted(each)) for each in self._tables.tenants[name].extra]
        select = exp.Select(
            expressions=[exp.Star(), *hidden],
            from_=exp.From(this=exp.Final(this=table) if final else table),
            where=exp.Where(this=exp.EQ(this=column, expression=tenant)),
        )
        return exp.Subquery(this=select, alias=exp.TableAlias(this=_quoted(alias)))


def _join_prewhere(select: exp.Select) -> None:
    """Make PREWHERE a part of WHERE: a subquery has none, and ClickHouse moves it back itself."""
    before = select.args.get("prewhere")
    if before is None:
        return
    if any(True for _ in _finals(select)):
        raise refusal_at(before, "PREWHERE with FINAL", "write WHERE: PREWHERE is before FINAL")
    where = select.args.get("where")
    parts = [exp.Paren(this=before.this), *([exp.Paren(this=where.this)] if where else [])]
    condition = parts[0] if len(parts) == 1 else exp.And(this=parts[0], expression=parts[1])
    select.set("prewhere", None)
    select.set("where", exp.Where(this=condition))


def _finals(select: exp.Select) -> Iterator[exp.Expr]:
    sources = [select.args.get("from_"), *select.args.get("joins", ())]
    return (each for each in sources if each is not None and isinstance(each.this, exp.Final))


def _aliased(table: exp.Table, alias: str) -> exp.Table:
    table.set("alias", exp.TableAlias(this=_quoted(alias)))
    return table


def _quoted(name: str) -> exp.Identifier:
    if not name:
        raise QueryRefused("a table without a name")
    return exp.to_identifier(name, quoted=True)
