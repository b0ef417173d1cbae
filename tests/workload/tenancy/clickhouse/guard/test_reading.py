"""Reading by two lexers and one parser; whatever ends the parser is a refusal."""

import logging

import pytest

from workload.tenancy.clickhouse.guard.lexer import Token, TokenKind, tokens_of
from workload.tenancy.clickhouse.guard.reading import agreed_tree, check_beginning, written
from workload.tenancy.clickhouse.guard.refused import QueryRefused


def test_a_query_is_written_with_every_name_in_quotes() -> None:
    plain, tokens = tokens_of("select a.b as c, 'x''y' from t -- d")
    assert written(agreed_tree(plain, tokens)) == """SELECT "a"."b" AS "c", 'x''y' FROM "t\""""


@pytest.mark.parametrize("text", ["SELECT FROM WHERE", "SELECT (1", "SELECT 1 1 1", "SELECT )"])
def test_what_is_no_query_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(QueryRefused, match="can't read"):
        agreed_tree(*tokens_of(text))


def test_lexers_that_disagree_are_a_refusal() -> None:
    text = "SELECT 'a', `b`"
    tokens = tokens_of(text)[1]
    changed = [*tokens[:1], Token(TokenKind.TEXT, "'a'", "A", 7, 10), *tokens[2:]]
    for wrong in (changed, tokens[:3], [*tokens, tokens[1]]):
        with pytest.raises(QueryRefused, match="differently"):
            agreed_tree(text, wrong)


def test_other_statements_do_not_reach_the_parser_which_would_log_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        for text in ("EXPLAIN SELECT 'password'", "((KILL QUERY", "'SELECT'", "1", "", "("):
            with pytest.raises(QueryRefused):
                check_beginning(tokens_of(text)[1])
    assert not caplog.records
