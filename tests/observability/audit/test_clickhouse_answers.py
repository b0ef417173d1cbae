"""What an answer to an insert means, and that nothing of a row is repeated."""

import pytest

from sidecar.observability.audit.clickhouse_answers import InsertVerdict, judge

BAD_ROW = (
    b'Code: 27. DB::Exception: Cannot parse input: expected \'"\' before: \'no","tenant":"t1"}\':'
    b" (while reading the value of key status): (at row 1)\n"
    b": While executing ParallelParsingBlockInputFormat. (CANNOT_PARSE_INPUT_ASSERTION_FAILED)"
    b" (version 26.9.2.1)"
)
ANSWERS: list[tuple[str, int, str, bytes, InsertVerdict, str]] = [
    ("all taken", 200, "", b"", InsertVerdict.TAKEN, ""),
    ("a line end", 200, "", b"\n", InsertVerdict.TAKEN, ""),
    ("a bad row", 400, "27", BAD_ROW, InsertVerdict.REFUSED,
     "exception 27 (CANNOT_PARSE_INPUT_ASSERTION_FAILED)"),
    ("a bad row, said late", 200, "", BAD_ROW, InsertVerdict.REFUSED,
     "exception 27 (CANNOT_PARSE_INPUT_ASSERTION_FAILED)"),
    ("a header with 200", 200, "241", b"", InsertVerdict.FAILED, "exception 241"),
    ("no memory, said late", 200, "", b"Code: 241. DB::Exception: (MEMORY_LIMIT_EXCEEDED)",
     InsertVerdict.FAILED, "exception 241 (MEMORY_LIMIT_EXCEEDED)"),
    ("too many parts", 500, "252", b"", InsertVerdict.FAILED, "exception 252"),
    ("no table", 404, "60", b"Code: 60. (UNKNOWN_TABLE)", InsertVerdict.FAILED,
     "exception 60 (UNKNOWN_TABLE): create the table: deploy/clickhouse/"),
    ("a wrong password", 403, "516", b"", InsertVerdict.FAILED,
     "exception 516: check audit.to.user and .password"),
    ("a proxy's bound", 413, "", b"<html>", InsertVerdict.TOO_LARGE,
     "it answers 413: an insert is too large"),
    ("a proxy's outage", 502, "", b"<html>", InsertVerdict.FAILED, "it answers 502"),
    ("a redirect", 307, "", b"", InsertVerdict.FAILED, "it answers 307"),
    ("another server", 200, "", b"<html>It works!</html>", InsertVerdict.FAILED,
     "it answers 200, but not as ClickHouse does"),
    ("no UTF-8", 200, "", b"\xff\xfe", InsertVerdict.FAILED,
     "it answers 200, but not as ClickHouse does"),
    ("a header that is no number", 500, "27; drop", b"", InsertVerdict.FAILED, "it answers 500"),
    ("digits of another script", 500, "\u0662\u0667", b"", InsertVerdict.FAILED, "it answers 500"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code", "body", "verdict", "why"),
    [row[1:] for row in ANSWERS],
    ids=[row[0] for row in ANSWERS],
)
def test_answers(status: int, code: str, body: bytes, verdict: InsertVerdict, why: str) -> None:
    headers = {"x-clickhouse-query-id": "a", "content-length": str(len(body))}
    if code:
        headers["x-clickhouse-exception-code"] = code
    assert judge(status, headers, body) == (verdict, why)
    assert "t1" not in judge(status, headers, body).why


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "it answers 200, but not as ClickHouse does"),
        ({"content-length": "0"}, "it answers 200, but not as ClickHouse does"),
        ({"x-clickhouse-summary": "{}"}, "its answer is cut off"),
    ],
)
def test_an_empty_answer_of_no_clickhouse_takes_nothing(headers: dict[str, str], why: str) -> None:
    assert judge(200, headers, b"") == (InsertVerdict.FAILED, why)
    whole = {"x-clickhouse-summary": "{}", "transfer-encoding": "chunked"}
    assert judge(200, whole, b"").verdict is InsertVerdict.TAKEN
