"""What ClickHouse's answer to an insert means: taken, refused for good, or to be tried again. Pure.

ClickHouse answers 200 before it has read everything, and writes the exception into the body then.
So an insert is taken only if the status is 200, the answer is ClickHouse's and whole, no header
names an exception, and the body is empty.
Its text quotes the row, so only the exception's number and name are ever repeated.
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

_SUCCESS = 200
_TOO_LARGE = 413
_CODE = re.compile(r"Code: ([0-9]{1,5})\b")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]{2,60})\)")

_OURS = ("x-clickhouse-query-id", "x-clickhouse-summary")
_ENDS = ("content-length", "transfer-encoding")
"""Without either nobody knows that an answer is whole (RFC 9112 §6.3)."""
_OF_A_ROW = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        25, 26, 27,  # CANNOT_PARSE_ESCAPE_SEQUENCE, _QUOTED_STRING, _INPUT_ASSERTION_FAILED
        33,  # CANNOT_READ_ALL_DATA
        38, 41, 72,  # CANNOT_PARSE_DATE, _DATETIME, _NUMBER
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        117,  # INCORRECT_DATA
        130,  # CANNOT_READ_ARRAY_FROM_TEXT
        131,  # TOO_LARGE_STRING_SIZE
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        376,  # CANNOT_PARSE_UUID
        441,  # CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING
        467,  # CANNOT_PARSE_BOOL
        469,  # VIOLATED_CONSTRAINT
        675, 676,  # CANNOT_PARSE_IPV4, CANNOT_PARSE_IPV6
        691,  # UNKNOWN_ELEMENT_OF_ENUM
    }
)  # fmt: skip
"""The exceptions that are about a row: sent again, it would be refused again.

All others are about the server, the table or the user, and may pass or be mended."""

_WHAT_TO_DO = {
    60: "create the table: deploy/clickhouse/",
    81: "create the database: deploy/clickhouse/",
    16: "the table lacks a column: see deploy/clickhouse/",
    192: "check audit.to.user",
    193: "check audit.to.password",
    194: "set audit.to.password",
    497: "grant INSERT on the table to audit.to.user",
    516: "check audit.to.user and .password",
}


class InsertVerdict(Enum):
    """What became of the rows of one insert."""

    TAKEN = "taken"
    REFUSED = "refused"
    """A row is at fault; of several it is not known which."""
    TOO_LARGE = "too large"
    FAILED = "failed"


class InsertAnswer(NamedTuple):
    """A verdict, and why in a clause."""

    verdict: InsertVerdict
    why: str = ""


def judge(status: int, headers: Mapping[str, str], body: bytes) -> InsertAnswer:
    """Judge an answer; the names of ``headers`` are looked up in lower case."""
    text = body.decode("utf-8", "replace")
    said = _CODE.search(text)
    code = headers.get("x-clickhouse-exception-code", "")
    code = code if code.isascii() and code.isdigit() else ""
    code = code or (said[1] if said else "")
    if not code:
        return _judge_without_code(status, headers, text)
    number = int(code)
    names = _NAME.findall(text)
    named = f"{number} ({names[-1]})" if names else str(number)
    if number in _OF_A_ROW:
        return InsertAnswer(InsertVerdict.REFUSED, f"exception {named}")
    advice = _WHAT_TO_DO.get(number, "")
    return InsertAnswer(InsertVerdict.FAILED, f"exception {named}{f': {advice}' if advice else ''}")


def _judge_without_code(status: int, headers: Mapping[str, str], text: str) -> InsertAnswer:
    if status == _TOO_LARGE:
        return InsertAnswer(InsertVerdict.TOO_LARGE, "it answers 413: an insert is too large")
    if status != _SUCCESS:
        return InsertAnswer(InsertVerdict.FAILED, f"it answers {status}")
    if text.strip() or not any(each in headers for each in _OURS):
        return InsertAnswer(InsertVerdict.FAILED, "it answers 200, but not as ClickHouse does")
    if not any(each in headers for each in _ENDS):
        return InsertAnswer(InsertVerdict.FAILED, "its answer is cut off")
    return InsertAnswer(InsertVerdict.TAKEN)
