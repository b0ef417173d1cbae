"""Tokens as ClickHouse's lexer reads them, of the part of its language that has one reading.

What another lexer could read otherwise is refused, with its place: a second statement, heredocs,
curly quotes, ``#`` and ``//`` comments, nested comments, escapes that name no character, numbers
with letters, and whatever is not ASCII outside quotes. Pure.
"""

import re
from enum import Enum
from typing import NamedTuple

from workload.tenancy.clickhouse.guard.refused import QueryRefused

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n\f\v]+)
  | (?P<comment>--[^\n\r]*(?=\n|\Z)|/\*(?:[^*/]|\*(?!/)|/(?!\*))*\*/)
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
  | (?P<text>'(?:[^'\\\0]|''|\\[\\'"`/0abefnrtv%_])*')
  | (?P<name>"[^"\\`\0-\x1f]+"|`[^"\\`\0-\x1f]+`)
  | (?P<sign>->|::|\|\||==|!=|<>|<=|>=|-(?!-)|/(?![*/])|[+*%=<>(),.:?{}]|\[|\])
    """,
    re.VERBOSE,
)
_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
    "v": "\v", "%": "\\%", "_": "\\_",
}  # fmt: skip
_ESCAPED = re.compile(r"''|\\(.)", re.DOTALL)
_REFUSED = {
    ";": ("a second statement, or a semicolon", "send one statement without one"),
    "#": ("a # comment", "write -- or /* */"),
    "$": ("a heredoc, or a $ in a name", "write a text in '' or a {name:Type} parameter"),
    "'": ("a text that does not end, or an escape in it that is not read by all alike",
          "use a {name:Type} parameter"),
    '"': ("a name in quotes that is odd", "give it letters, digits and _"),
    "`": ("a name in quotes that is odd", "give it letters, digits and _"),
    "/": ("a // comment, or one that does not end or holds another", "leave it away"),
    "-": ("a comment with a carriage return", "leave it away"),
}  # fmt: skip
MAX_BYTES = 65_536
MAX_DEPTH = 60
"""Brackets within brackets; a parser that goes deeper ends by its own stack."""


class TokenKind(Enum):
    """What a token is."""

    WORD = "word"
    """A keyword, or a name without quotes."""
    NUMBER = "number"
    TEXT = "text"
    NAME = "name"
    """A name in quotes."""
    SIGN = "sign"


class Token(NamedTuple):
    """A token: its source, what that says, and where it stands, end exclusive."""

    kind: TokenKind
    source: str
    value: str
    start: int
    end: int


def place_in(sql: str, offset: int) -> tuple[int, int]:
    """Return line and column of an offset, both from 1."""
    return sql.count("\n", 0, offset) + 1, offset - (sql.rfind("\n", 0, offset) + 1) + 1


def tokens_of(sql: str) -> tuple[str, list[Token]]:
    """Return the statement with blanks for comments, and its tokens. Raises ``QueryRefused``."""
    if len(sql) > MAX_BYTES or len(sql.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise QueryRefused(f"a query beyond {MAX_BYTES} bytes", remedy="give values as parameters")
    if not sql.isascii() and any("\ud800" <= each <= "\udfff" for each in sql):
        raise QueryRefused("a lone surrogate, which is no character")
    found: list[Token] = []
    plain: list[str] = []
    position = depth = 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if match is None or match.lastgroup is None:
            raise _refusal(sql, position)
        source = match.group()
        start, position = position, match.end()
        if match.lastgroup in {"space", "comment"}:
            plain.append("".join("\n" if each == "\n" else " " for each in source))
            continue
        plain.append(source)
        token = Token(TokenKind(match.lastgroup), source, _value(source), start, position)
        _check_after(sql, token, found)
        depth += (source in "([{") - (source in ")]}") if len(source) == 1 else 0
        if depth > MAX_DEPTH:
            raise QueryRefused(f"more than {MAX_DEPTH} brackets open", *place_in(sql, start))
        found.append(token)
    return "".join(plain), found


def _value(source: str) -> str:
    if source[0] == "'":
        return _ESCAPED.sub(
            lambda each: _ESCAPES.get(each[1], each[1]) if each[1] else "'", source[1:-1]
        )
    return source[1:-1] if source[0] in '"`' else source


def _check_after(sql: str, token: Token, before: list[Token]) -> None:
    follows = sql[token.end : token.end + 1]
    if token.kind is TokenKind.NUMBER and (follows.isalnum() or follows in {"_", "."}):
        raise QueryRefused("a number that goes on in letters", *place_in(sql, token.start))
    previous = before[-1] if before else None
    adjacent = previous is not None and previous.end == token.start
    if previous is not None and token.kind is TokenKind.NUMBER and (
        previous.source == "." or (token.source[0] == "." and _names(previous))
    ):  # fmt: skip
        raise QueryRefused(
            "an element of a tuple by its number",
            *place_in(sql, token.start),
            remedy="write tupleElement(x, 1)",
        )
    if previous is not None and previous.kind is token.kind is TokenKind.TEXT:
        raise QueryRefused("two texts side by side", *place_in(sql, token.start))
    if adjacent and previous is not None and previous.kind is token.kind is TokenKind.NAME:
        raise QueryRefused("a doubled quote in a name", *place_in(sql, token.start))
    if token.kind is TokenKind.TEXT and adjacent and _names(previous):
        raise QueryRefused("a text with a prefix", *place_in(sql, token.start))


def _names(token: Token | None) -> bool:
    return token is not None and (
        token.kind in {TokenKind.WORD, TokenKind.NAME} or token.source in {")", "]"}
    )


def _refusal(sql: str, position: int) -> QueryRefused:
    character = sql[position]
    said = _REFUSED.get(character)
    place = place_in(sql, position)
    if said is not None:
        return QueryRefused(said[0], *place, remedy=said[1])
    return QueryRefused(f"the character U+{ord(character):04X}", *place)
