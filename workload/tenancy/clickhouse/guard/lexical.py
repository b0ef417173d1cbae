"""What the tokens of a query may be, whatever a parser makes of them. Pure.

Two rules. A function is called by its name before a bracket, so every word before one is on a
list. In what the guard has written every name is in quotes, so every other word is a keyword, a
unit or a type of a list too.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from workload.tenancy.clickhouse.guard.functions import AGGREGATE, COMBINATORS, SCALAR
from workload.tenancy.clickhouse.guard.lexer import Token, TokenKind, place_in
from workload.tenancy.clickhouse.guard.refused import QueryRefused
from workload.tenancy.clickhouse.guard.words import BEFORE_BRACKET, KEYWORDS, SPELLED, TYPES, UNITS

_READS = ("dict", "joinget", "file", "url", "remote", "cluster", "merge", "view", "s3")


def check_calls(sql: str, tokens: Sequence[Token]) -> None:
    """Refuse a call of a function that is not listed. Raises ``QueryRefused``."""
    for name, bracket in pairwise(tokens):
        if bracket.source != "(" or name.kind not in {TokenKind.WORD, TokenKind.NAME}:
            continue
        if name.kind is TokenKind.NAME:
            raise QueryRefused(f"a call of {name.source}", *place_in(sql, name.start))
        if not _may_stand_before_bracket(name.source):
            raise _unknown(sql, name)


def check_words(sql: str, tokens: Sequence[Token]) -> None:
    """Refuse a word without quotes that no guarded query needs. Raises ``QueryRefused``."""
    around = zip([None, *tokens[:-1]], tokens, [*tokens[1:], None], strict=True)
    for before, token, follows in around:
        if token.kind is not TokenKind.WORD or (follows is not None and follows.source == "("):
            continue
        if before is not None and before.source == "{":
            continue  # the name of a parameter; its type follows, after a colon
        word = token.source
        if not (word.upper() in KEYWORDS or word.upper() in UNITS or word in TYPES):
            raise QueryRefused(f"the word {word}", *place_in(sql, token.start))


def is_function(name: str) -> bool:
    """Return whether a function may be called: listed, or an aggregate with combinators."""
    name = name.lower()
    return (
        name in SCALAR
        or name in SPELLED
        or any(each in AGGREGATE for each in _without_combinators(name))
    )


def _without_combinators(name: str) -> Iterator[str]:
    """Yield a name, and what is left of it without each chain of combinators."""
    left = {name}
    while left:
        each = left.pop()
        yield each
        left |= {
            each.removesuffix(one) for one in COMBINATORS if each.endswith(one) and each != one
        }


def _may_stand_before_bracket(word: str) -> bool:
    return word.upper() in BEFORE_BRACKET or word in TYPES or is_function(word)


def _unknown(sql: str, token: Token) -> QueryRefused:
    name = token.source
    reads = name.lower().startswith(_READS)
    return QueryRefused(
        f"the function {name}, which reads more than its arguments" if reads
        else f"the function {name}, which the guard does not know",
        *place_in(sql, token.start),
    )  # fmt: skip
