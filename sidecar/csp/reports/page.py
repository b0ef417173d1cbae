"""The operator's view of reports: a page without a script, and the same as JSON.

All of its content comes from unknown clients: it was reduced to origins and keywords at the
intake, is escaped here, and is shown under a policy that lets nothing run or load.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape

from sidecar.csp.reports.intake import ReportIntake
from sidecar.csp.reports.store import ReportStore
from sidecar.transport.http1_messages import Request, Response, Routes

_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem;color:#1b1b1f;background:#fff}"
    "table{border-collapse:collapse;margin:0 0 2rem}caption{text-align:left;font-weight:600}"
    "th,td{padding:.2rem .8rem .2rem 0;text-align:left;border-bottom:1px solid #ddd}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}p{max-width:60rem}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
_HEADERS = (
    ("content-security-policy", _POLICY),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
)
_Cell = str | int


def report_routes(store: ReportStore, intake: ReportIntake) -> Routes:
    """Build the routes of the admin port: the page and its JSON."""

    def page(_request: Request) -> Response:
        body = render(store, intake.reports).encode("utf-8", "replace")
        return Response(200, body, "text/html; charset=utf-8", _HEADERS)

    def document(_request: Request) -> Response:
        facts = {"reports": intake.reports, "answers": intake.answers, **store.document()}
        return Response.json(200, facts)

    return {("GET", "/csp"): page, ("GET", "/csp/reports"): document}


def render(store: ReportStore, reports: Mapping[str, int]) -> str:
    """Return the page as HTML."""
    rows = (
        (
            row.count,
            key.directive,
            key.blocked,
            key.disposition,
            key.document,
            key.tenant or "-",
            len(row.documents),
            len(row.clients),
            _time(row.last),
        )
        for key, row in store.rows()
    )
    latest = (
        (
            _time(seen.at),
            seen.directive,
            seen.blocked,
            seen.disposition,
            seen.document,
            seen.tenant or "-",
            seen.source or "-",
        )
        for seen in reversed(store.latest)
    )
    became = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in reports.items())
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f"<title>CSP reports</title><style>{_STYLE}</style></head><body>",
            "<h1>CSP reports</h1><p>Anybody can send these. They say where to look; they are no ",
            f"evidence. {escape(became)}. Rows pushed out of the table: {store.pushed_out}.</p>",
            _table(
                "What was blocked",
                "count directive blocked disposition page tenant pages clients last",
                rows,
            ),
            _table("The latest", "time directive blocked disposition page tenant source", latest),
            "</body></html>\n",
        )
    )


def _table(caption: str, names: str, rows: Iterable[tuple[_Cell, ...]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in names.split())
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><caption>{caption}</caption><tr>{head}</tr>{body}</table>"


def _cell(value: _Cell) -> str:
    if isinstance(value, int):
        return f'<td class="n">{value}</td>'
    return f"<td>{escape(value)}</td>"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
