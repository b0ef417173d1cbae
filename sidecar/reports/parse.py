"""Both formats of a violation report, read into one (CSP Level 3 §5.3, §5.5; Reporting API §3.1).

``application/csp-report`` is one object under ``csp-report``; ``application/reports+json``
an array of reports of many types (WebKit sends one without the array). Anybody can send
anything here, so a report is read field by field, and a bad one in a batch costs the
others nothing.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from sidecar.reports.origin import reduce_url, without_query

LEGACY_TYPE = "application/csp-report"
REPORTING_TYPE = "application/reports+json"
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
"""Every name a report's directive is counted under; anything else is ``other``."""


class Violation(NamedTuple):
    """What is kept of a report, and ``document_url``, which only lives until it is hashed."""

    directive: str
    blocked: str
    """An origin, a scheme or a keyword."""
    document: str
    """The origin of the page."""
    source: str
    """The origin of the script that did it; empty where none is named."""
    disposition: str
    """``enforce`` or ``report``."""
    document_url: str


class Parsed(NamedTuple):
    """The violations of one body, and how many of its reports were something else."""

    violations: tuple[Violation, ...]
    malformed: int = 0
    other_type: int = 0
    over_batch: int = 0


class NotReports(Exception):  # noqa: N818 - what the body is
    """The body as a whole is not what its content type says."""


class _Legacy(msgspec.Struct, rename="kebab"):
    document_uri: str
    violated_directive: str = ""
    effective_directive: str = ""
    blocked_uri: str = ""
    disposition: str = "enforce"
    source_file: str | None = ""


class _LegacyBody(msgspec.Struct, rename="kebab"):
    csp_report: _Legacy


class _Modern(msgspec.Struct):
    effective_directive: str = msgspec.field(name="effectiveDirective")
    document_url: str = msgspec.field(name="documentURL")
    blocked_url: str | None = msgspec.field(name="blockedURL", default="")
    disposition: str = "enforce"
    source_file: str | None = msgspec.field(name="sourceFile", default="")


class _Report(msgspec.Struct):
    type: str
    body: msgspec.Raw = msgspec.Raw(b"null")


_legacy = msgspec.json.Decoder(_LegacyBody)
_batch = msgspec.json.Decoder(list[msgspec.Raw] | _Report)
_report = msgspec.json.Decoder(_Report)
_modern = msgspec.json.Decoder(_Modern)
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def parse_body(content_type: str, body: bytes) -> Parsed:
    """Read a body; ``content_type`` is one of the two above. Raises ``NotReports``."""
    try:
        if content_type == LEGACY_TYPE:
            return Parsed((_of_legacy(_legacy.decode(body).csp_report),))
        batch = _batch.decode(body)
    except _UNREADABLE as exc:
        raise NotReports from exc
    if isinstance(batch, _Report):
        return _read_all([msgspec.Raw(body)], 0)
    return _read_all(batch[:MAX_REPORTS], max(0, len(batch) - MAX_REPORTS))


def _read_all(reports: Iterable[msgspec.Raw], over_batch: int) -> Parsed:
    violations: list[Violation] = []
    malformed = other_type = 0
    for raw in reports:
        try:
            report = _report.decode(raw)
            if report.type != "csp-violation":
                other_type += 1
                continue
            violations.append(_of_modern(_modern.decode(report.body)))
        except _UNREADABLE:
            malformed += 1
    return Parsed(tuple(violations), malformed, other_type, over_batch)


def _of_legacy(report: _Legacy) -> Violation:
    # violated-directive is CSP Level 2's, and there with its sources: "script-src 'self'".
    directive = report.effective_directive or report.violated_directive.split(" ", 1)[0]
    return _violation(
        directive,
        report.blocked_uri,
        report.document_uri,
        report.source_file,
        report.disposition,
    )


def _of_modern(report: _Modern) -> Violation:
    return _violation(
        report.effective_directive,
        report.blocked_url,
        report.document_url,
        report.source_file,
        report.disposition,
    )


def _violation(
    directive: str, blocked: str | None, document: str, source: str | None, disposition: str
) -> Violation:
    return Violation(
        directive=directive if directive in DIRECTIVES else OTHER,
        blocked=reduce_url((blocked or "")[:MAX_FIELD]),
        document=reduce_url(document[:MAX_FIELD]),
        source=reduce_url(source[:MAX_FIELD]) if source else "",
        disposition="report" if disposition == "report" else "enforce",
        document_url=without_query(document[:MAX_FIELD]),
    )
