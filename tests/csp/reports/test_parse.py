"""Every shape becomes one; what can't be read costs nobody else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.csp.reports.parse import (
    DIRECTIVES,
    MAX_REPORTS,
    NotReports,
    Parsed,
    parse_body,
)
from tests.csp.reports.bodies import GOOD, HOST, legacy, modern, raw


@pytest.mark.parametrize("body", [body for _, body in GOOD.values()], ids=GOOD)
def test_all_say_the_same(body: bytes) -> None:
    (violation,) = parse_body(body).violations
    assert violation._asdict() == {
        "directive": "script-src-elem",
        "blocked": "https://evil.example",
        "document": f"https://{HOST}",
        "source": f"https://{HOST}",
        "disposition": "enforce",
        "document_url": f"https://{HOST}/orders",
    }


def one(**changes: Any) -> Any:
    (violation,) = parse_body(raw(legacy(**changes))).violations
    return violation


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
    ("no document at all", raw({"type": "csp-violation", "body": {"effectiveDirective": 5}})),
    ("an empty object", b"{}"),
    ("a report without a body", raw({"type": "csp-violation"})),
    ("a report of an array", raw({"csp-report": [legacy()["csp-report"]]})),
    ("an array in an array", raw([[modern()]])),
    ("an old report in a body", raw({"type": "csp-violation", "body": legacy()})),
    ("a batch in a member", raw({"reports": [modern()]})),
]


@pytest.mark.parametrize("body", [u[1] for u in UNREADABLE], ids=[u[0] for u in UNREADABLE])
def test_unreadable(body: bytes) -> None:
    try:
        parsed = parse_body(body)
    except NotReports:
        return
    assert not parsed.violations
    assert parsed.malformed


def test_what_a_report_leaves_open_is_null_in_some_browsers() -> None:
    nulls = dict.fromkeys(("referrer", "source-file", "blocked-uri", "disposition"))
    violation = one(**nulls, **{"effective-directive": None})
    assert (violation.directive, violation.blocked) == ("script-src-elem", "unknown")
    assert (violation.source, violation.disposition) == ("", "enforce")


DOCUMENTS = [
    ("a page", "https://a.example/x?y", "https://b.example/", "https://a.example/x"),
    ("srcdoc", "about", "https://a.example/x?y", "https://a.example/x"),
    ("srcdoc, whole", "about:srcdoc", "https://a.example/x", "https://a.example/x"),
    ("srcdoc with a fragment", "ABOUT:srcdoc#top", "https://a.example/", "https://a.example/"),
    ("a blank frame", "about:blank", "https://a.example/", "https://a.example/"),
    ("a blob", "blob", "https://a.example/x?y", "https://a.example/x"),
    ("a blob, whole", "blob:https://a.example:8/1-2", "https://b.example/", "https://a.example:8"),
    ("a blob of a sandbox", "blob:null/1-2", "https://a.example/x", "https://a.example/x"),
    ("data", "data", "https://a.example/", "https://a.example/"),
    ("data, whole", "data:text/html,<b>", "https://a.example/", "https://a.example/"),
    ("no referrer", "about", "", ""),
    ("a referrer without an origin", "about:srcdoc", "about:srcdoc", ""),
]


@pytest.mark.parametrize(
    ("document", "referrer", "page"), [d[1:] for d in DOCUMENTS], ids=[d[0] for d in DOCUMENTS]
)
def test_a_frame_of_a_pages_own_is_the_pages(document: str, referrer: str, page: str) -> None:
    violation = one(**{"document-uri": document, "referrer": referrer})
    assert violation.document_url == page
    assert violation.document == "/".join(page.split("/")[:3])
    report = raw([modern(documentURL=document, referrer=referrer)])
    assert parse_body(report).violations == (violation,)


def test_a_bad_report_in_a_batch_costs_the_others_nothing() -> None:
    batch: list[Any] = [
        modern(),
        {"type": 5},
        {"type": "csp-violation"},
        {"type": "deprecation", "body": {}},
    ]
    batch += ["text", modern(blockedURL=["x"]), modern(blockedURL=None)]
    parsed = parse_body(raw(batch))
    assert [v.blocked for v in parsed.violations] == ["https://evil.example", "unknown"]
    assert (parsed.malformed, parsed.other_type, parsed.over_batch) == (4, 1, 0)


@pytest.mark.parametrize("kind", ["deprecation", "coep", "coop", "csp-hash", "intervention", ""])
def test_reports_of_other_kinds_are_not_read(kind: str) -> None:
    other = {**modern(), "type": kind}
    assert parse_body(raw(other)) == Parsed((), other_type=1)
    mixed = parse_body(raw([other, legacy(), other, modern()]))
    assert (len(mixed.violations), mixed.other_type, mixed.malformed) == (2, 2, 0)


def test_a_batch_has_a_bound_and_the_rest_is_counted() -> None:
    parsed = parse_body(raw([modern()] * (MAX_REPORTS + 9)))
    assert (len(parsed.violations), parsed.over_batch) == (MAX_REPORTS, 9)


@given(st.binary(max_size=300))
def test_nothing_else_is_ever_raised(body: bytes) -> None:
    try:
        parse_body(body)
    except NotReports:
        return
