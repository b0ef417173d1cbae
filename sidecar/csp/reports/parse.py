"""Parses all formats of violation reports (CSP Level 3 §5.3, §5.5; Reporting API §3.1).

A report is an object under ``csp-report``, or an object with a ``type`` and a ``body``. It
comes alone or in an array, and under either content type: WebKit posts a single object of the
Reporting API as ``application/csp-report``. So the shape of each object decides how it is
read, and the label says only that there are reports. Anybody can send anything here, so a
report is read field by field, and a bad one in a batch costs the others nothing.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from sidecar.csp.reports.origin import (
    UNKNOWN,
    is_local_document,
    maker_of,
    reduce_url,
    without_query,
)

LEGACY_TYPE = "application/csp-report"
REPORTING_TYPE = "application/reports+json"
CONTENT_TYPES = (REPORTING_TYPE, LEGACY_TYPE)
MAX_REPORTS = 64
"""Reports of one body that are looked at; further ones are counted and thrown away."""
MAX_FIELD = 8192
OTHER = "other"
DIRECTIVES = frozenset(
    {
        "base-uri",
        "child-src",
        "connect-src",
        "default-src",
        "fenced-frame-src",
        "font-src",
        "form-action",
        "frame-ancestors",
        "frame-src",
        "img-src",
        "manifest-src",
        "media-src",
        "object-src",
        "prefetch-src",
        "require-trusted-types-for",
        "sandbox",
        "script-src",
        "script-src-attr",
        "script-src-elem",
        "style-src",
        "style-src-attr",
        "style-src-elem",
        "trusted-types",
        "upgrade-insecure-requests",
        "worker-src",
    }
)
"""The directives by which reports are counted; any other is ``other``."""


class Violation(NamedTuple):
    """The stored parts of a report, and ``document_url``, which is dropped once it is hashed."""

    directive: str
    blocked: str
    """An origin, a scheme or a keyword."""
    document: str
    """The origin of the page; empty for a frame of its own that does not name it."""
    source: str
    """The origin of the script that caused it; empty if none is named."""
    disposition: str
    """``enforce`` or ``report``."""
    document_url: str


class Parsed(NamedTuple):
    """The violations of one body, and how many of its reports were something else."""

    violations: tuple[Violation, ...]
    malformed: int = 0
    other_type: int = 0
    over_batch: int = 0


class NotReports(Exception):
    """The body as a whole is neither a report nor an array of them."""


class _Legacy(msgspec.Struct, rename="kebab"):
    document_uri: str
    referrer: str | None = ""
    violated_directive: str | None = ""
    effective_directive: str | None = ""
    blocked_uri: str | None = ""
    disposition: str | None = "enforce"
    source_file: str | None = ""


class _Modern(msgspec.Struct):
    effective_directive: str = msgspec.field(name="effectiveDirective")
    document_url: str | None = msgspec.field(name="documentURL", default=None)
    referrer: str | None = ""
    blocked_url: str | None = msgspec.field(name="blockedURL", default="")
    disposition: str | None = "enforce"
    source_file: str | None = msgspec.field(name="sourceFile", default="")


_NULL = msgspec.Raw(b"null")


class _Report(msgspec.Struct):
    """One object of either format; its fields decide which."""

    csp_report: msgspec.Raw = msgspec.field(name="csp-report", default=_NULL)
    type: Any = None
    url: Any = None
    body: msgspec.Raw = _NULL


_batch = msgspec.json.Decoder(list[msgspec.Raw] | _Report)
_report = msgspec.json.Decoder(_Report)
_legacy = msgspec.json.Decoder(_Legacy)
_modern = msgspec.json.Decoder(_Modern)
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def parse_body(body: bytes) -> Parsed:
    """Parse a body of either content type. Raises ``NotReports`` if it has no report."""
    try:
        batch = _batch.decode(body)
    except _UNREADABLE as exc:
        raise NotReports from exc
    if isinstance(batch, list):
        return _read_all(batch[:MAX_REPORTS], max(0, len(batch) - MAX_REPORTS))
    parsed = _read_all([msgspec.Raw(body)], 0)
    if parsed.malformed:
        raise NotReports
    return parsed


def _read_all(reports: Iterable[msgspec.Raw], over_batch: int) -> Parsed:
    violations: list[Violation] = []
    malformed = other_type = 0
    for raw in reports:
        try:
            violation = _read_one(_report.decode(raw))
        except _UNREADABLE:
            malformed += 1
            continue
        if violation is None:
            other_type += 1
        else:
            violations.append(violation)
    return Parsed(tuple(violations), malformed, other_type, over_batch)


def _read_one(report: _Report) -> Violation | None:
    """Return the violation; ``None`` for a report of another type."""
    if report.csp_report != _NULL:
        return _of_legacy(_legacy.decode(report.csp_report))
    if not isinstance(report.type, str):
        raise msgspec.DecodeError
    if report.type != "csp-violation":
        return None
    url = report.url if isinstance(report.url, str) else ""
    return _of_modern(_modern.decode(report.body), url)


def _of_legacy(report: _Legacy) -> Violation:
    # violated-directive is CSP Level 2's, and there with its sources: "script-src 'self'".
    directive = report.effective_directive or (report.violated_directive or "").split(" ", 1)[0]
    return _violation(
        directive,
        report.blocked_uri,
        (report.document_uri, report.referrer or ""),
        report.source_file,
        report.disposition,
    )


def _of_modern(report: _Modern, url: str) -> Violation:
    return _violation(
        report.effective_directive,
        report.blocked_url,
        (url if report.document_url is None else report.document_url, report.referrer or ""),
        report.source_file,
        report.disposition,
    )


def _violation(
    directive: str,
    blocked: str | None,
    page: tuple[str, str],
    source: str | None,
    disposition: str | None,
) -> Violation:
    document, document_url = _page(*(each[:MAX_FIELD] for each in page))
    return Violation(
        directive=directive if directive in DIRECTIVES else OTHER,
        blocked=reduce_url((blocked or "")[:MAX_FIELD]),
        document=document,
        source=reduce_url(source[:MAX_FIELD]) if source else "",
        disposition="report" if disposition == "report" else "enforce",
        document_url=document_url,
    )


def _page(document: str, referrer: str) -> tuple[str, str]:
    """Return the origin and the URL of the page that a violation is of.

    A frame that a page made (``srcdoc``, ``blob:``, ``data:``) lives under the page's policy
    and is the page's. Which page, a ``blob:`` URL names; else the frame's referrer does, which
    browsers set to the page that made it. Without either both are empty.
    """
    if not is_local_document(document):
        return reduce_url(document), without_query(document)
    if maker := maker_of(document):
        return maker, maker
    page = reduce_url(referrer)
    is_named = page != UNKNOWN and not is_local_document(referrer)
    return (page, without_query(referrer)) if is_named else ("", "")
