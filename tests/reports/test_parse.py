"""Both formats become one; what can't be read costs nobody else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.reports.parse import (
    DIRECTIVES,
    LEGACY_TYPE,
    MAX_REPORTS,
    REPORTING_TYPE,
    NotReports,
    parse_body,
)
from tests.reports.bodies import GOOD, HOST, legacy, modern, raw


@pytest.mark.parametrize(("kind", "body"), GOOD.values(), ids=GOOD)
def test_all_say_the_same(kind: str, body: bytes) -> None:
    (violation,) = parse_body(kind, body).violations
    assert violation._asdict() == {
        "directive": "script-src-elem",
        "blocked": "https://evil.example",
        "document": f"https://{HOST}",
        "source": f"https://{HOST}",
        "disposition": "enforce",
        "document_url": f"https://{HOST}/orders",
    }


def one(**changes: Any) -> Any:
    parsed = parse_body(LEGACY_TYPE, raw(legacy(**changes)))
    other = parse_body(REPORTING_TYPE, raw([modern()]))
    assert len(other.violations) == len(parsed.violations) == 1
    return parsed.violations[0]


def test_level_2_names_the_directive_with_its_sources() -> None:
    violation = one(
        **{"effective-directive": "", "violated-directive": "img-src 'self' cdn.example"}
    )
    assert violation.directive == "img-src"


def test_an_unknown_directive_is_no_new_label() -> None:
    assert one(**{"effective-directive": "x" * 1000}).directive == "other"
    assert "other" not in DIRECTIVES


def test_report_only_is_told_apart() -> None:
    assert one(disposition="report").disposition == "report"
    assert one(disposition="<b>").disposition == "enforce"


UNREADABLE = [
    ("nothing", b""),
    ("no JSON", b"csp"),
    ("no UTF-8", b'{"csp-report": {"document-uri": "\xff"}}'),
    ("a number", b"1"),
    ("null", b"null"),
    ("cut short", raw(legacy())[:-5]),
    ("two documents", raw(legacy()) * 2),
    ("deep arrays", b"[" * 65_536),
    ("deep objects", b'{"csp-report":' * 4000 + b"1" + b"}" * 4000),
    ("deep in an unknown member", b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
    ("a wrong type", raw({"csp-report": {"document-uri": 5}})),
    ("no document", raw({"csp-report": {}})),
]


@pytest.mark.parametrize("body", [u[1] for u in UNREADABLE], ids=[u[0] for u in UNREADABLE])
@pytest.mark.parametrize("kind", [LEGACY_TYPE, REPORTING_TYPE])
def test_unreadable(kind: str, body: bytes) -> None:
    try:
        parsed = parse_body(kind, body)
    except NotReports:
        return
    assert not parsed.violations


def test_a_bad_report_in_a_batch_costs_the_others_nothing() -> None:
    batch = [modern(), {"type": 5}, {"type": "csp-violation"}, {"type": "deprecation", "body": {}}]
    batch += ["text", modern(blockedURL=["x"]), modern(blockedURL=None)]
    parsed = parse_body(REPORTING_TYPE, raw(batch))
    assert [v.blocked for v in parsed.violations] == ["https://evil.example", "unknown"]
    assert (parsed.malformed, parsed.other_type, parsed.over_batch) == (4, 1, 0)


def test_a_batch_has_a_bound_and_the_rest_is_counted() -> None:
    parsed = parse_body(REPORTING_TYPE, raw([modern()] * (MAX_REPORTS + 9)))
    assert (len(parsed.violations), parsed.over_batch) == (MAX_REPORTS, 9)


@given(st.binary(max_size=300), st.sampled_from([LEGACY_TYPE, REPORTING_TYPE]))
def test_nothing_else_is_ever_raised(body: bytes, kind: str) -> None:
    try:
        parse_body(kind, body)
    except NotReports:
        return
