"""Values of panels as HTML: moments, lengths of time, marks, links, buttons and tables. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlencode

from sidecar.admin.page.forms import FormTokens
from sidecar.admin.page.html import Html, element, joined, shown
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import (
    MAX_PAGE,
    Action,
    Ask,
    At,
    Mark,
    PanelLink,
    Row,
    Span,
    Table,
    Value,
)

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_KEPT_UNITS = 2
_FAR = 1e11
NOTHING = element("span", "—", class_="none")


class Drawing(NamedTuple):
    """What every view is drawn with: the time, the tokens of forms, and whose page it is."""

    now: float
    tokens: FormTokens
    panel: str = ""
    """The panel whose page it is; empty for the first page."""


def path_of(panel: str, query: Mapping[str, str] | None = None, suffix: str = "") -> str:
    """Return the path of a panel's page; of the first page for an empty name."""
    path = f"/page/{panel}" if panel else "/page"
    asked = {name: value for name, value in (query or {}).items() if value}
    return f"{path}{suffix}" + (f"?{urlencode(asked, errors='replace')}" if asked else "")


def draw(value: Value, drawing: Drawing) -> Html:
    """Return a value as HTML."""
    drawn: Html
    match value:
        case At():
            drawn = moment(value.seconds, drawing.now)
        case Span():
            drawn = shown(duration(value.seconds))
        case Mark():
            drawn = mark(value.text, value.severity)
        case PanelLink():
            drawn = element("a", value.text, href=path_of(value.panel, dict(value.query)))
        case Action():
            drawn = button(value, drawing)
        case bool():
            drawn = shown("yes" if value else "no")
        case float():
            drawn = shown(f"{value:g}")
        case None | "":
            drawn = NOTHING
        case _:
            drawn = shown(value)
    return drawn


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units."""
    if not abs(seconds) < _FAR:
        return "very long"
    left = round(abs(seconds))
    parts: list[str] = []
    for size, unit in _UNITS:
        count, rest = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
            left = rest
        if len(parts) == _KEPT_UNITS:
            break
    text = " ".join(part for part in parts if not part.startswith("0 ")) or "0 s"
    return f"-{text}" if seconds < 0 and text != "0 s" else text


def moment(seconds: float | None, now: float) -> Html:
    """Return a moment: when, in UTC, and how long that is ago or ahead."""
    if seconds is None or not abs(seconds) < _FAR:
        return NOTHING
    at = datetime.fromtimestamp(seconds, UTC)
    is_today = at.date() == datetime.fromtimestamp(now, UTC).date()
    written = f"{at:%H:%M:%S}" if is_today else f"{at:%Y-%m-%d %H:%M}"
    ago = seconds <= now
    words = f"{duration(now - seconds)} ago" if ago else f"in {duration(seconds - now)}"
    return element(
        "time",
        element("b", written),
        element("i", f" UTC, {words}", data_at=f"{seconds:.0f}"),
        datetime=at.isoformat(timespec="seconds"),
    )


def mark(text: str, severity: Severity | None) -> Html:
    """Return a word that says a state, with its colour."""
    return element("span", text, class_=f"mark {severity or 'ok'}")


def button(action: Action, drawing: Drawing) -> Html:
    """Return a form of one button; what can't be taken back leads to a page that asks first."""
    if action.warning:
        query = {"action": action.name, "target": action.target, "back": drawing.panel}
        return element(
            "form",
            joined(element("input", type="hidden", name=n, value=v) for n, v in query.items()),
            element("button", action.label, type="submit", class_="quiet"),
            method="get",
            action="/page/confirm",
        )
    return form(action, drawing)


def form(action: Action, drawing: Drawing) -> Html:
    """Return the form that does something, with its token."""
    fields = {
        "action": action.name,
        "target": action.target,
        "back": drawing.panel,
        "token": drawing.tokens.token(action.name, action.target),
    }
    return element(
        "form",
        joined(element("input", type="hidden", name=n, value=v) for n, v in fields.items()),
        element("button", action.label, type="submit"),
        method="post",
        action="/page/do",
    )


def table(table: Table, drawing: Drawing, columns: tuple[str, ...] = ()) -> Html:
    """Return a table, or only some columns of it."""
    if not table.rows:
        return element("p", table.empty, class_="none")
    chosen = [
        number for number, (key, _) in enumerate(table.columns) if not columns or key in columns
    ]
    titles = [table.columns[number][1] for number in chosen]
    head = joined(element("th", title, scope="col") for title in titles)

    def cells(row: Row) -> Html:
        return joined(_cell(row[number], titles[at], drawing) for at, number in enumerate(chosen))

    body = joined(element("tr", cells(row)) for row in table.rows)
    drawn = element("table", element("thead", element("tr", head)), element("tbody", body))
    return element("div", drawn, class_="wide", tabindex="0", role="region", aria_label=table.title)


def _cell(value: Value, title: str, drawing: Drawing) -> Html:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return element("td", draw(value, drawing), class_="n" if is_number else None, data_label=title)


def pager(table: Table, ask: Ask, drawing: Drawing) -> Html:
    """Return the search and the pages of a long table."""
    if not table.is_paged:
        return Html("")
    search = element(
        "form",
        element("input", type="search", name="q", value=ask.query.get("q", ""), maxlength="100",
                aria_label=f"Search {table.title}", placeholder="Search …"),
        element("button", "Search", type="submit", class_="quiet"),
        method="get", action=path_of(drawing.panel), role="search",
    )  # fmt: skip
    last = max(1, -(-table.found // ask.rows))
    first = (ask.page - 1) * ask.rows
    words = f"{first + 1:,} to {first + len(table.rows):,} of {table.found:,}"
    where = element("span", words if table.rows else "nothing found", class_="where")
    return element(
        "nav",
        search,
        where,
        _page_link(ask, drawing, ask.page - 1, "Before", ask.page > 1),
        _page_link(ask, drawing, ask.page + 1, "Next", ask.page < min(last, MAX_PAGE)),
        class_="pager",
        aria_label=f"Pages of {table.title}",
    )


def _page_link(ask: Ask, drawing: Drawing, page: int, label: str, is_there: bool) -> Html:
    if not is_there:
        return Html("")
    return element("a", label, href=path_of(drawing.panel, {**ask.query, "page": str(page)}))
