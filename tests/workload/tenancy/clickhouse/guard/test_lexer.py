"""The lexer: one reading of each text, or none."""

import pytest

from workload.tenancy.clickhouse.guard.lexer import MAX_BYTES, MAX_DEPTH, TokenKind, tokens_of
from workload.tenancy.clickhouse.guard.refused import QueryRefused


def test_tokens_have_kind_source_value_and_place() -> None:
    plain, tokens = tokens_of("SELECT 'a''b\\n' -- c\n, `x`, \"y\"")
    assert plain == "SELECT 'a''b\\n'     \n, `x`, \"y\""
    assert [(each.kind, each.value) for each in tokens] == [
        (TokenKind.WORD, "SELECT"),
        (TokenKind.TEXT, "a'b\n"),
        (TokenKind.SIGN, ","),
        (TokenKind.NAME, "x"),
        (TokenKind.SIGN, ","),
        (TokenKind.NAME, "y"),
    ]
    assert [plain[each.start : each.end] for each in tokens] == [each.source for each in tokens]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"'\\'", "\\"),
        (r"'\''", "'"),
        (r"'\"\`\/'", '"`/'),
        (r"'\0\a\b\e\f\n\r\t\v'", "\0\a\b\x1b\f\n\r\t\v"),
        (r"'\%\_'", r"\%\_"),
        ("'é\n'", "é\n"),
        ("''", ""),
        ("''''", "'"),
    ],
)
def test_texts_are_decoded_as_clickhouse_does(text: str, value: str) -> None:
    assert tokens_of(text)[1][0].value == value


@pytest.mark.parametrize("number", ["1", "1.5", "0.5", "1e5", "1.5E-3", "0x1F"])
def test_numbers(number: str) -> None:
    assert [each.source for each in tokens_of(f"SELECT {number}")[1]] == ["SELECT", number]


def test_signs_of_two_characters_are_one_token() -> None:
    signs = ["->", "::", "||", "==", "!=", "<>", "<=", ">=", "-", "/", "*", "?", ":"]
    assert [each.source for each in tokens_of(" ".join(signs))[1]] == signs


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 /* /* */", "/*", "/* *", "// x", "-- x\r1", "# x", "#!x", "$$", "$a$", "a$b",
        "'", '"', "`", '""', "``", '"a', '"a\\"', '"a\nb"', "'\\x41'", "'\\N'", "'\\q'", "'\\u00'",
        "'\0'", "1a", "1_000", "0b1", "1.", "1..2", "1e", "0x", "a.1", "a .5", "(a).1", "a[1].2",
        "x'41'", "N'a'", "'a' 'b'", "'a'\n'b'", '"a""b"', "`a``b`", "@x", "a & b", "a | b", "~a",
        "a ^ b", "!a", "\\", "\ufeff1", "a\u2028b", "\u201ca\u201d", ";",
    ],
)  # fmt: skip
def test_what_has_two_readings_is_refused(text: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        tokens_of(text)
    assert refused.value.line >= 1


def test_bounds() -> None:
    tokens_of("(" * MAX_DEPTH)
    with pytest.raises(QueryRefused, match="brackets"):
        tokens_of("[" * (MAX_DEPTH + 1))
    tokens_of("'" + "x" * (MAX_BYTES - 2) + "'")
    for text in ("x" * (MAX_BYTES + 1), "'" + "é" * (MAX_BYTES // 2) + "'"):
        with pytest.raises(QueryRefused, match="bytes"):
            tokens_of(text)
    with pytest.raises(QueryRefused, match="surrogate"):
        tokens_of("'\ud800'")


def test_the_place_counts_lines_and_columns_from_one() -> None:
    with pytest.raises(QueryRefused) as refused:
        tokens_of("SELECT\n  1 ;")
    assert (refused.value.line, refused.value.column) == (2, 5)
