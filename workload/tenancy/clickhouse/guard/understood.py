"""Which parts of a parsed query the guard understands: kinds of nodes, and what each may hold.

A node of another kind, and an argument that is not listed (SETTINGS, FORMAT, INTO, a second
LIMIT, a hint, a pivot), is refused. Functions are judged by their names (``lexical``).
"""

from collections.abc import Callable, Mapping

from sqlglot import exp

from workload.tenancy.clickhouse.guard.refused import QueryRefused
from workload.tenancy.clickhouse.names import RESERVED

_CLAUSES = (
    "with_ expressions distinct from_ joins prewhere where group having qualify windows order "
    "limit offset"
)
_SET = "with_ this expression distinct order limit offset"
_ARGUMENTS: Mapping[type[exp.Expr], str] = {
    exp.Select: _CLAUSES,
    exp.Union: _SET,
    exp.Except: _SET,
    exp.Intersect: _SET,
    exp.Subquery: "this alias",
    exp.With: "expressions",
    exp.CTE: "this alias scalar",
    exp.From: "this",
    exp.Join: "this on side kind using method global_ expressions",
    exp.Table: "this alias db sample",
    exp.TableAlias: "this",
    exp.TableSample: "size",
    exp.Final: "this",
    exp.Where: "this",
    exp.PreWhere: "this",
    exp.Group: "expressions rollup cube totals grouping_sets all",
    exp.Rollup: "expressions",
    exp.Cube: "expressions",
    exp.GroupingSets: "expressions",
    exp.Having: "this",
    exp.Qualify: "this",
    exp.Order: "expressions",
    exp.Ordered: "this desc nulls_first with_fill",
    exp.WithFill: "from_ to step",
    exp.Limit: "expression expressions limit_options",
    exp.LimitOptions: "with_ties",
    exp.Offset: "expression",
    exp.Column: "this table",
    exp.Identifier: "this quoted",
    exp.Alias: "this alias",
    exp.Star: "except_",
    exp.In: "this expressions query field is_global",
    exp.Placeholder: "this kind",
    exp.DataType: "this expressions nested nullable",
    exp.DataTypeParam: "this",
    exp.ColumnDef: "this kind",
    exp.Interval: "this unit",
    exp.Lambda: "this expressions",
    exp.Window: "this partition_by order spec alias over",
    exp.WindowSpec: "kind start start_side end end_side",
    exp.Distinct: "expressions on",
    exp.Bracket: "this expressions offset safe",
    exp.Between: "this low high",
    exp.Cast: "this to",
    exp.CastToStrType: "this to",
}
_PLAIN = (
    exp.Literal, exp.Null, exp.Boolean, exp.Var, exp.Tuple, exp.Paren, exp.Neg, exp.Not, exp.And,
    exp.Or, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Add, exp.Sub, exp.Mul, exp.Div,
    exp.IntDiv, exp.Mod, exp.DPipe, exp.Like, exp.ILike, exp.Is, exp.Dot,
)  # fmt: skip
_COMMANDS = "send a SELECT, or INSERT INTO table (columns) SELECT …"


class NodeRules:
    """Judges the nodes of a query: ``column`` is the tenants', ``ours`` allows our own names."""

    def __init__(self, column: str, *, ours: bool) -> None:
        self._column = column.lower()
        self._ours = ours
        self._rules: Mapping[type[exp.Expr], Callable[[exp.Expr], None]] = {
            exp.Table: self._table,
            exp.TableAlias: self._named,
            exp.TableSample: _sample,
            exp.Alias: self._named,
            exp.Lambda: self._lambda,
            exp.Identifier: self._identifier,
            exp.Placeholder: self._placeholder,
            exp.In: _in,
            exp.JSONExtract: _arrow,
            exp.With: _not_recursive,
            exp.From: _source,
            exp.Join: _source,
        }

    def check(self, tree: exp.Expr) -> None:
        """Refuse the first node that is not understood. Raises ``QueryRefused``."""
        if not isinstance(tree, exp.Select | exp.SetOperation | exp.Subquery):
            raise QueryRefused(f"a statement of the kind {tree.key.upper()}", remedy=_COMMANDS)
        for node in tree.walk():
            _check_kind(node)
            rule = self._rules.get(type(node))
            if rule is not None:
                rule(node)

    def _table(self, node: exp.Expr) -> None:
        if not isinstance(node.this, exp.Identifier):
            what = "named by a parameter" if isinstance(node.this, exp.Placeholder) else "function"
            raise refusal_at(node, f"a table {what}", "name a table that the guard lists")

    def _named(self, node: exp.Expr) -> None:
        name = node.alias if isinstance(node, exp.Alias) else node.name
        self._check_new_name(node, name)

    def _lambda(self, node: exp.Expr) -> None:
        for each in node.expressions:
            self._check_new_name(node, each.name)

    def _check_new_name(self, node: exp.Expr, name: str) -> None:
        if name.lower() == self._column:
            raise refusal_at(
                node, f"the name {name} for something else", "only the tenant column has that name"
            )

    def _identifier(self, node: exp.Expr) -> None:
        name = node.name
        if "." in name or "\\" in name or '"' in name or "`" in name or not name.isprintable():
            raise refusal_at(node, f"the name {name!r}", "write a.b for a part of a column")
        if name.lower().startswith(RESERVED) and not self._ours:
            raise refusal_at(node, f"the name {name}", f"{RESERVED}… is the guard's")

    def _placeholder(self, node: exp.Expr) -> None:
        if not isinstance(node.args.get("kind"), exp.DataType):
            raise refusal_at(node, "a parameter that is no value", "write {name:Type}")
        if node.name.lower().startswith(RESERVED) and not self._ours:
            raise refusal_at(node, f"the parameter {node.name}", f"{RESERVED}… is the guard's")


def refusal_at(node: exp.Expr, construct: str, remedy: str = "") -> QueryRefused:
    """Return a refusal with a place: of the node, or of the first name in or around it."""
    around: exp.Expr | None = node
    while around is not None:
        for each in around.walk(bfs=False):
            if each.meta.get("line"):
                start = each.meta["col"] - (each.meta["end"] - each.meta["start"])
                return QueryRefused(construct, each.meta["line"], max(start, 1), remedy=remedy)
        around = around.parent
    return QueryRefused(construct, remedy=remedy)


def _check_kind(node: exp.Expr) -> None:
    kind = type(node)
    allowed = _ARGUMENTS.get(kind)
    if allowed is not None:
        for name, value in node.args.items():
            if value and name not in allowed.split():
                raise refusal_at(node, f"{name.strip('_').upper()} in {kind.__name__.upper()}")
    elif kind not in _PLAIN and not isinstance(node, exp.Func | exp.JSONPath | exp.JSONPathPart):
        raise refusal_at(node, f"the construct {kind.__name__.upper()}")


def _in(node: exp.Expr) -> None:
    field = node.args.get("field")
    if field is not None and not isinstance(field, exp.Placeholder):
        raise refusal_at(node, "IN before a name, which reads a table", "write IN (SELECT …)")
    for each in node.expressions:
        if each.find(exp.Column, exp.Identifier, exp.Query) is not None:
            raise refusal_at(node, "IN with a name in its list", "write IN (SELECT …), or values")


def _sample(node: exp.Expr) -> None:
    size = node.args.get("size")
    parts = [size.this, size.expression] if isinstance(size, exp.Div) else [size]
    if not all(isinstance(each, exp.Literal) and not each.is_string for each in parts):
        raise refusal_at(node, "SAMPLE of more than a number", "write SAMPLE 0.1 or SAMPLE 1/10")
    select = node.find_ancestor(exp.Select)
    if select is not None and select.args.get("offset") and not select.args.get("limit"):
        raise refusal_at(node, "SAMPLE with OFFSET")


def _arrow(node: exp.Expr) -> None:
    if node.args.get("only_json_types") is False:
        raise refusal_at(node, "an arrow outside a function's arguments")


def _source(node: exp.Expr) -> None:
    """Refuse rows that are not of a table or a subquery; ARRAY JOIN has columns there."""
    if node.args.get("kind") == "ARRAY":
        return
    if not isinstance(node.this, exp.Table | exp.Final | exp.Subquery):
        raise refusal_at(node, f"rows of {node.this.key.upper()}", "name a table that is listed")


def _not_recursive(node: exp.Expr) -> None:
    if node.args.get("recursive"):
        raise refusal_at(node, "WITH RECURSIVE")
