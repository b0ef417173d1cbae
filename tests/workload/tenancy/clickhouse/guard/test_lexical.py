"""Words and calls, whatever a parser makes of them."""

import pytest

from workload.tenancy.clickhouse.guard.lexer import tokens_of
from workload.tenancy.clickhouse.guard.lexical import check_calls, check_words, is_function
from workload.tenancy.clickhouse.guard.refused import QueryRefused


@pytest.mark.parametrize(
    "name", ["count", "sumIf", "uniqExactMergeState", "quantileOrNullIf", "LENGTH", "toDate",
             "groupArrayForEach", "sumMap", "dateAdd", "trim", "JSONExtractString"],
)  # fmt: skip
def test_functions_that_compute_are_known(name: str) -> None:
    assert is_function(name)


@pytest.mark.parametrize(
    "name", ["file", "url", "dictGet", "joinGet", "in", "notIn", "globalNullIn", "sleep", "Iff",
             "mergeIf", "remote", "getSetting", "currentUser", "hasColumnInTable", "_CAST", ""],
)  # fmt: skip
def test_functions_that_read_are_not(name: str) -> None:
    assert not is_function(name)


@pytest.mark.parametrize(
    "text", ["f IN (1)", "SELECT (1)", "count (x)", "a AND (b)", "CAST(a AS Nullable(UInt8))",
             "quantile(0.5)(x)", "OVER (ORDER BY a)", "USING (a)"],
)  # fmt: skip
def test_words_that_may_stand_before_a_bracket(text: str) -> None:
    check_calls(text, tokens_of(text)[1])


@pytest.mark.parametrize(
    "text", ["file ('x')", "`count`(x)", '"count" (x)', "VALUES (1)", "t (a, b)",
             "SETTINGS (1)", "SELECT_(1)", "nullable(UInt8)"],
)  # fmt: skip
def test_words_that_may_not(text: str) -> None:
    with pytest.raises(QueryRefused):
        check_calls(text, tokens_of(text)[1])


def test_bare_words_are_keywords_units_and_types() -> None:
    good = 'SELECT "a" FROM "t" WHERE CAST("a" AS UInt8) IN ({p: Array(String)}) AND INTERVAL 1 DAY'
    check_words(good, tokens_of(good)[1])
    for word in ("SETTINGS", "FORMAT", "INTO", "OUTFILE", "a", "uint8", "VALUES", "PREWHERE",
                 "RECURSIVE", "Identifier", "APPLY", "INTERPOLATE", "SQL_tenant_id"):  # fmt: skip
        text = f"SELECT 1 {word} 2"
        with pytest.raises(QueryRefused, match=word):
            check_words(text, tokens_of(text)[1])
    with pytest.raises(QueryRefused, match="Identifier"):
        check_words("{p: Identifier}", tokens_of("{p: Identifier}")[1])
