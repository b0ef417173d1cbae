"""The guard: a query of the application in, the query that may be sent out, or nothing.

::

    guard = QueryGuard(GuardedTables(["contacts", "visits"], database="app"))
    guard.query("SELECT count() FROM contacts")

What comes back has a parameter, ``{septem_tenant: UUID}``, whose value is sent beside it: the text
is the same for every tenant, and is remembered.
"""

from collections.abc import Sequence
from functools import lru_cache

from workload.tenancy.clickhouse.guard.lexer import Token, TokenKind, place_in, tokens_of
from workload.tenancy.clickhouse.guard.lexical import check_calls
from workload.tenancy.clickhouse.guard.reading import agreed_tree, check_beginning, written
from workload.tenancy.clickhouse.guard.refused import GuardDisagrees, QueryRefused
from workload.tenancy.clickhouse.guard.rewrite import rewrite
from workload.tenancy.clickhouse.guard.tables import PARAMETER, GuardedTables
from workload.tenancy.clickhouse.guard.understood import NodeRules
from workload.tenancy.clickhouse.guard.verify import verify
from workload.tenancy.clickhouse.names import ClickHouseTable, checked_name

_REMEMBERED = 256
_INSERT = "write INSERT INTO table (columns) SELECT …; for values use insert() of the client"


class QueryGuard:
    """Guards the queries of one application. Safe in threads."""

    def __init__(self, tables: GuardedTables) -> None:
        self.tables = tables
        self._rules = NodeRules(tables.column, ours=False)
        self._guarded = lru_cache(_REMEMBERED)(self._guard)

    def query(self, sql: str) -> str:
        """Return the statement to send. Raises ``QueryRefused``, which is of ``TenancyFault``."""
        return self._guarded(sql)

    def insert_into(self, table: str, columns: Sequence[str]) -> tuple[ClickHouseTable, list[str]]:
        """Return a tenants' table and its columns with the tenant's last. Raises ``QueryRefused``.

        The tenant's value is the client's to add; an application gives none.
        """
        found = self._target(table)
        names = [checked_name(each) for each in columns]
        if self.tables.column.lower() in {each.lower() for each in names}:
            raise QueryRefused(
                f"a value for {self.tables.column}", remedy="leave it away: the client adds it"
            )
        return found, [*names, self.tables.column]

    def _guard(self, sql: str) -> str:
        plain, tokens = tokens_of(sql)
        if tokens and tokens[0].source.upper() == "INSERT":
            return self._insert(plain, tokens)
        return self._select(plain, tokens)

    def _select(self, sql: str, tokens: Sequence[Token]) -> str:
        check_beginning(tokens)
        check_calls(sql, tokens)
        tree = agreed_tree(sql, tokens)
        try:
            self._rules.check(tree)
            text = written(rewrite(tree, self.tables))
        except RecursionError:
            raise QueryRefused("a query that is nested too deep") from None
        try:
            verify(text, self.tables)
        except QueryRefused as refused:
            raise GuardDisagrees(
                f"{refused.construct} (in what the guard would have sent)"
            ) from refused
        return text

    def _insert(self, sql: str, tokens: Sequence[Token]) -> str:
        table, columns, rest = _insert_head(sql, tokens)
        found, names = self.insert_into(table, columns)
        first = tokens[rest].start if rest < len(tokens) else len(sql)
        blank = "".join("\n" if each == "\n" else " " for each in sql[:first])
        rows = self._select(blank + sql[first:], tokens[rest:])
        tenant = f"{{{PARAMETER}: {self.tables.type}}}"
        into = f'INSERT INTO "{found.database}"."{found.table}"'
        listed = ", ".join(f'"{each}"' for each in names)
        return f"{into} ({listed}) SELECT *, {tenant} FROM ({rows})"

    def _target(self, table: str) -> ClickHouseTable:
        found = self.tables.read(table)
        if found not in self.tables.tenants:
            raise QueryRefused(
                f"an INSERT into {found}", remedy="only tenants' tables that are listed take rows"
            )
        return found


def _insert_head(sql: str, tokens: Sequence[Token]) -> tuple[str, list[str], int]:
    """Return table and columns of an INSERT, and the number of the token after them."""
    position = 1
    for word in ("INTO", "TABLE"):
        if position < len(tokens) and tokens[position].source.upper() == word:
            position += 1
    name, position = _separated(sql, tokens, position, ".")
    if position >= len(tokens) or tokens[position].source != "(":
        raise QueryRefused(
            "an INSERT without its columns", *_place(sql, tokens, position), remedy=_INSERT
        )
    columns, position = _separated(sql, tokens, position + 1, ",")
    if position >= len(tokens) or tokens[position].source != ")":
        raise QueryRefused(
            "an INSERT with odd columns", *_place(sql, tokens, position), remedy=_INSERT
        )
    return ".".join(name), columns, position + 1


def _separated(
    sql: str, tokens: Sequence[Token], position: int, sign: str
) -> tuple[list[str], int]:
    """Read names with a sign between them; return them and where they end."""
    names: list[str] = []
    while True:
        token = tokens[position] if position < len(tokens) else None
        if token is None or token.kind not in {TokenKind.WORD, TokenKind.NAME}:
            raise QueryRefused("an INSERT", *_place(sql, tokens, position), remedy=_INSERT)
        names.append(token.value)
        position += 1
        if position >= len(tokens) or tokens[position].source != sign:
            return names, position
        position += 1


def _place(sql: str, tokens: Sequence[Token], position: int) -> tuple[int, int]:
    return place_in(sql, tokens[position].start) if position < len(tokens) else (0, 0)
