"""Makes queries over the tables of ``clickhouse_attacks``: of a grammar, and broken on purpose."""

import random
import re

from tests.support.clickhouse_attacks import REFUSED, SENT

COLUMNS = {
    "contacts": ("id", "tenant_id", "name", "amount", "at", "note"),
    "visits": ("id", "tenant_id", "contact", "page", "at"),
    "countries": ("code", "title"),
}
_TOKEN = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"[^\"]*\"|`[^`]*`|\w+|\s+|.", re.DOTALL)
_SPICE = (
    "IN",
    "NOT IN",
    "salaries",
    "app.salaries",
    "(",
    ")",
    ",",
    "UNION ALL SELECT title FROM salaries",
    "AS tenant_id",
    "tenant_id",
    "OR 1",
    "FINAL",
    "PREWHERE 1",
    "--",
    "/*",
    "*/",
    "'",
    '"',
    "`",
    "#",
    "WITH salaries AS (SELECT 1)",
    "SETTINGS max_threads = 1",
    "FORMAT TSV",
    "JOIN salaries ON 1",
    "FROM salaries",
    "SELECT * FROM salaries",
    "system.tables",
    ";",
    "AS",
    ".",
    "*",
    "contacts",
    "visits",
    "x",
    "1",
    "->",
    "::String",
    "ARRAY JOIN [1] AS q",
    "LIMIT 1",
    "GROUP BY ALL",
    "IN salaries",
    "IN (salaries)",
    "merge('app', '.*')",
    "numbers(3)",
    "$$",
    "\\",
    "{a:String}",
    "EXCEPT SELECT 1",
    "QUALIFY 1",
    "OVER ()",
    "INTERSECT",
    "DISTINCT",
    "WHERE",
    "HAVING 1",
    "\n",
    "SELECT",
    "FROM",
    "AS septem_rows",
    "[1]",
    "tags",
    "arrayJoin(tags)",
    "NULL",
    "= ANY",
)


class QueryMaker:
    """Makes queries that a seed decides."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def good(self) -> str:
        """Return a query that ClickHouse mostly takes, of several levels."""
        return self._query(3)

    def broken(self) -> str:
        """Return a known query with tokens of others, or hostile ones, put in, out and about."""
        pool = [*SENT.values(), *(query for query, _ in REFUSED.values())]
        tokens = _TOKEN.findall(self._random.choice(pool))
        for _ in range(self._random.randint(1, 4)):
            place = self._random.randint(0, len(tokens))
            action = self._random.randrange(4)
            if action == 0 and tokens:
                del tokens[min(place, len(tokens) - 1)]
            elif action == 1:
                tokens.insert(place, f" {self._random.choice(_SPICE)} ")
            elif action == 2:
                tokens.insert(place, self._random.choice(_SPICE))
            else:
                other = _TOKEN.findall(self._random.choice(pool))
                start = self._random.randint(0, len(other))
                tokens[place:place] = other[start : start + self._random.randint(1, 12)]
        return "".join(tokens)

    def _query(self, depth: int) -> str:
        if depth and self._chance(0.15):
            sign = self._one("UNION ALL", "UNION DISTINCT", "EXCEPT", "INTERSECT")
            return f"SELECT id FROM ({self._query(0)}) AS u {sign} {self._simple(0, 'id')}"
        return self._simple(depth, None)

    def _simple(self, depth: int, only: str | None) -> str:
        source, columns = self._source(depth, "a")
        if self._chance(0.3):
            other, more = self._source(depth, "b")
            source += f" {self._one('INNER', 'LEFT', 'RIGHT', 'FULL')} JOIN {other} ON a.id = b.id"
            columns = [*columns, *more]
        shown = "a.id AS id" if only or not depth else "a.id AS id, " + self._shown(columns, depth)
        text = f"SELECT {shown} FROM {source}"
        if self._chance(0.7):
            text += f" WHERE {self._condition(columns, depth)}"
        if not only and depth and self._chance(0.2):
            text = f"SELECT id, count() AS n, max(id) AS m FROM ({text}) AS g GROUP BY id"
        return text

    def _source(self, depth: int, alias: str) -> tuple[str, list[str]]:
        table = self._one("contacts", "visits")
        names = [f"{alias}.{each}" for each in COLUMNS[table]]
        if depth and self._chance(0.25):
            return f"(SELECT * FROM {self._source(depth - 1, 'i')[0]}) AS {alias}", [f"{alias}.id"]
        if depth and self._chance(0.2):
            return f"(WITH w AS ({self._simple(0, 'id')}) SELECT id FROM w) AS {alias}", [
                f"{alias}.id"
            ]
        final = " FINAL" if table == "visits" and self._chance(0.3) else ""
        return f"{self._one('', 'app.')}{table} AS {alias}{final}", names

    def _shown(self, columns: list[str], depth: int) -> str:
        column = self._random.choice(columns)
        return self._one(
            f"{column} AS c",
            f"toString({column}) AS c",
            f"length(toString({column})) > 3 ? 'long' : 'short' AS c",
            f"(SELECT count() FROM {self._one('contacts', 'visits')}) AS c",
            f"(SELECT max(id) FROM ({self._query(max(depth - 2, 0))}) AS s) AS c",
            "arrayMap(x -> x + 1, [1, 2]) AS c",
            f"CASE WHEN {self._condition(columns, 0)} THEN 1 ELSE 2 END AS c",
        )

    def _condition(self, columns: list[str], depth: int) -> str:
        column = self._random.choice(columns)
        simple = self._one(
            "1", "1 = 1", f"{column} IS NOT NULL", f"toString({column}) != ''", "a.id > 0",
            f"NOT ({column} IS NULL)", f"toString({column}) LIKE '%'", "a.id BETWEEN 0 AND 9",
            "a.id IN (1, 2, 3, 4)", f"toString({column}) NOT IN ('x', 'y')",
        )  # fmt: skip
        if not depth:
            return simple
        return self._one(
            simple,
            f"{simple} OR {self._condition(columns, depth - 1)}",
            f"NOT {simple} OR {simple} AND {self._condition(columns, depth - 1)}",
            f"a.id IN (SELECT id FROM ({self._query(depth - 1)}) AS n)",
            f"a.id NOT IN (SELECT id FROM ({self._query(depth - 1)}) AS n)",
            f"EXISTS(SELECT 1 FROM {self._one('contacts', 'visits')})",
        )

    def _one(self, *choices: str) -> str:
        return self._random.choice(choices)

    def _chance(self, part: float) -> bool:
        return self._random.random() < part
