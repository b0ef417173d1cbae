"""One tree of one text, by sqlglot, where its lexer and ours agree what is text and what a name.

Everything that sqlglot may do about a text that it does not take (its errors, its stack, its
warnings) ends here in ``QueryRefused``.
"""

import re
from collections.abc import Sequence

from sqlglot import exp, parse
from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.errors import ErrorLevel, SqlglotError
from sqlglot.tokenizer_core import TokenType

from workload.tenancy.clickhouse.guard.lexer import Token, TokenKind, place_in
from workload.tenancy.clickhouse.guard.refused import QueryRefused

_BEGINS = {"SELECT", "WITH", "FROM"}
_STRINGS = {TokenType.STRING: TokenKind.TEXT, TokenType.IDENTIFIER: TokenKind.NAME}
_PLACE = re.compile(r"Line (\d+), Col: (\d+)")


def agreed_tree(sql: str, tokens: Sequence[Token]) -> exp.Expr:
    """Return the tree of a query without comments, given our tokens. Raises ``QueryRefused``."""
    try:
        _check_agreement(sql, tokens)
        (tree,) = parse(sql, read="clickhouse", error_level=ErrorLevel.IMMEDIATE)
    except QueryRefused:
        raise
    except SqlglotError as fault:
        place = _PLACE.search(str(fault))
        said = f"what the guard can't read ({type(fault).__name__})"
        raise QueryRefused(said, *map(int, place.groups() if place else ())) from None
    except RecursionError:
        raise QueryRefused("a query that is nested too deep") from None
    except Exception as fault:  # noqa: BLE001 - a parser of others; whatever ends it, nothing is sent
        raise QueryRefused(f"what ends the parser ({type(fault).__name__})") from None
    if not isinstance(tree, exp.Expr):
        raise QueryRefused("an empty query")
    return tree


def written(tree: exp.Expr) -> str:
    """Return a tree's text, names in quotes, without comments. Raises ``QueryRefused``."""
    try:
        return tree.sql(
            dialect="clickhouse", identify=True, comments=False, unsupported_level=ErrorLevel.RAISE
        )
    except RecursionError:
        raise QueryRefused("a query that is nested too deep") from None
    except Exception as fault:  # noqa: BLE001 - as above
        raise QueryRefused(f"what can't be written again ({type(fault).__name__})") from None


def check_beginning(tokens: Sequence[Token]) -> None:
    """Refuse other statements before the parser sees them: it logs those that it does not know."""
    first = next((each for each in tokens if each.source != "("), None)
    if first is None:
        raise QueryRefused("an empty query")
    if first.kind is not TokenKind.WORD or first.source.upper() not in _BEGINS:
        raise QueryRefused(
            f"a statement that begins with {first.source[:40]}",
            remedy="send a SELECT, or INSERT INTO table (columns) SELECT …",
        )


def _check_agreement(sql: str, tokens: Sequence[Token]) -> None:
    ours = [
        (each.kind, each.start, each.end, each.value)
        for each in tokens
        if each.kind in {TokenKind.TEXT, TokenKind.NAME}
    ]
    theirs = [
        (_STRINGS[each.token_type], each.start, each.end + 1, each.text)
        for each in ClickHouse().tokenize(sql)
        if each.token_type in _STRINGS
    ]
    for mine, other in zip(ours, theirs, strict=False):
        if mine != other:
            raise QueryRefused("a text that two lexers read differently", *place_in(sql, mine[1]))
    if len(ours) != len(theirs):
        raise QueryRefused("a text that two lexers read differently")
