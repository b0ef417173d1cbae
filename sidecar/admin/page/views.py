"""The pages as HTML: the first page, one panel, and the question before an action. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from sidecar.admin.action_log import OperatorAction
from sidecar.admin.page.assets import SCRIPT, STYLE
from sidecar.admin.page.catalog import PANELS
from sidecar.admin.page.html import Html, element, joined, prose
from sidecar.admin.page.status import PlacedFinding, Status
from sidecar.admin.page.values import (
    Drawing,
    button,
    draw,
    duration,
    form,
    moment,
    pager,
    path_of,
    table,
)
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import Action, Ask, Panel, PanelFinding, rank

_TITLES = {each.name: each.title for each in PANELS}
_CARD_FACTS, _CARD_ROWS = 7, 5
_SAID = {
    Severity.CRITICAL: "needs you now",
    Severity.WARNING: "needs you",
    Severity.INFO: "worth a look",
}
Shown = Sequence[tuple[str, Panel]]
"""The panels that there are, by name, in their order."""


class About(NamedTuple):
    """Which sidecar this is."""

    version: str
    host: str
    started_at: float


def first_page(
    status: Status, panels: Shown, about: About, drawing: Drawing, done: OperatorAction | None
) -> bytes:
    """Return the page that says it all: the status, and a card for each panel."""
    cards = joined(_card(name, panel, drawing) for name, panel in panels)
    content = (
        _notice(done),
        _banner(status, drawing),
        element("section", cards, class_="cards", aria_label="Components"),
    )
    return _page(status.headline, status, content, about, drawing)


def panel_page(  # noqa: PLR0917 - what a page consists of
    name: str,
    panel: Panel,
    ask: Ask,
    status: Status,
    about: About,
    drawing: Drawing,
    done: OperatorAction | None,
) -> bytes:
    """Return the page of one panel, with all its tables."""
    title = _TITLES[name]
    content = (
        _notice(done),
        _line(status),
        element(
            "section",
            element("h1", title),
            element("p", panel.summary, class_="summary"),
            _buttons(panel, drawing),
            joined(_finding(PlacedFinding(each, name), drawing) for each in panel.findings),
            _facts(panel, drawing, len(panel.facts)),
            class_="panel",
        ),
        joined(
            element(
                "section",
                element("h2", each.title),
                pager(each, ask, drawing),
                table(each, drawing),
                class_="panel",
                id=f"table-{each.name}",
            )
            for each in panel.tables
        ),
        element(
            "p",
            element("a", "This view as JSON", href=path_of(name, dict(ask.query), ".json")),
            class_="twin",
        ),
    )
    return _page(f"{title} · {status.headline}", status, content, about, drawing)


def confirm_page(action: Action, status: Status, about: About, drawing: Drawing) -> bytes:
    """Return the page that asks before something is done that can't be taken back."""
    what = f"{action.label.removesuffix(' …')} {action.target}".strip()
    content = (
        element(
            "section",
            element("h1", f"{what}?"),
            element("p", action.warning),
            form(action._replace(label=f"Yes: {what}", warning=""), drawing),
            element("p", element("a", "No, go back", href=path_of(drawing.panel))),
            class_="panel ask",
        ),
    )
    return _page(f"{what}?", status, content, about, drawing)


def plain_page(words: str) -> bytes:
    """Return a page of one sentence, for what can't be shown or done."""
    back = element("p", element("a", "To the first page", href="/page"))
    body = element("body", element("main", element("p", words), back, id="main"))
    head = element("head", element("meta", charset="utf-8"), element("title", "Septem Sidecar"))
    styled = element("style", Html(STYLE))
    return f"<!doctype html>{element('html', head, styled, body, lang='en')}\n".encode()


def _page(
    title: str, status: Status, content: Sequence[Html], about: About, drawing: Drawing
) -> bytes:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("title", f"{title} · Septem Sidecar {about.host}"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("style", Html(STYLE)),
    )
    body = element(
        "body",
        element("a", "To the content", href="#main", class_="skip"),
        _header(status, about, drawing),
        element("main", *content, id="main", data_severity=status.severity or "ok"),
        _footer(about, drawing),
        element("script", Html(SCRIPT)),
    )
    page = element("html", head, body, lang="en")
    return f"<!doctype html>{page}\n".encode("utf-8", "replace")


def _header(status: Status, about: About, drawing: Drawing) -> Html:
    named = [(name, _TITLES[name]) for name in _TITLES]
    links = joined(
        element(
            "a",
            title,
            href=path_of(name),
            aria_current="page" if name == drawing.panel else None,
            class_=_worst_of(status, name),
        )
        for name, title in [("", "Overview"), *named]
    )
    return element(
        "header",
        element("a", "Septem Sidecar", href="/page", class_="brand"),
        element("span", about.host, class_="host"),
        element("span", "", id="live", role="status"),
        element("nav", links, class_="panels", aria_label="Panels"),
    )


def _worst_of(status: Status, panel: str) -> str | None:
    found = [each.severity for each in status.findings if each.panel == panel]
    return str(min(found, key=rank)) if found else None


def _footer(about: About, drawing: Drawing) -> Html:
    up = duration(drawing.now - about.started_at)
    return element(
        "footer",
        f"Version {about.version}. Started ",
        moment(about.started_at, drawing.now),
        f", up {up}. This page as of ",
        moment(drawing.now, drawing.now),
        ". All times are UTC.",
    )


def _banner(status: Status, drawing: Drawing) -> Html:
    severity = str(status.severity or "ok") if status.ready else "critical"
    if not status.ready and status.severity is Severity.WARNING:
        severity = "warning"  # it starts, or ends
    first, others = status.findings[:1], status.findings[1:]
    if first:
        said = joined(_told(each, drawing) for each in first)
    else:
        said = element("p", "Nothing is wrong, as far as this sidecar can tell.", class_="wrong")
    ready = "Ready since " if status.ready else "Not ready since "
    rest = Html("")
    if others:
        count = f"{len(others)} more thing{'s' * (len(others) > 1)}"
        rest = element(
            "div",
            element("h2", f"{count} to look at"),
            joined(_finding(each, drawing) for each in others),
            class_="others",
        )
    return joined(
        (
            element(
                "section",
                element("h1", status.headline),
                said,
                element("p", ready, moment(status.since, drawing.now), class_="ready"),
                class_=f"banner {severity}",
                role="status",
                aria_label="Status",
            ),
            rest,
        )
    )


def _line(status: Status) -> Html:
    """Return the status in one line, for the pages of panels."""
    severity = str(status.severity or "ok")
    more = f" ({len(status.findings)})" if status.findings else ""
    return element(
        "p",
        element("a", f"{status.headline}{more}", href="/page"),
        class_=f"line {severity if status.ready else 'critical'}",
    )


def _told(placed: PlacedFinding, drawing: Drawing) -> Html:
    """Return a finding: what is wrong, since when, what to do, and what follows from it."""
    finding = placed.finding
    follows = Html("")
    if placed.follows:
        follows = element(
            "details",
            element("summary", f"Because of this, too: {_parts(placed.follows)}"),
            element("ul", joined(element("li", each.wrong) for each in placed.follows)),
            id=f"follows-{finding.part}",
        )
    about = Html("")
    if placed.panel in _TITLES and placed.panel != drawing.panel:
        about = element("a", _TITLES[placed.panel], href=path_of(placed.panel))
    return joined(
        (
            element("p", prose(finding.wrong), class_="wrong"),
            element(
                "dl",
                element("dt", "Since"),
                element("dd", moment(finding.since, drawing.now)),
                element("dt", "What to do"),
                element("dd", prose(finding.do), class_="do"),
                joined((element("dt", "See"), element("dd", about))) if about else Html(""),
            ),
            follows,
        )
    )


def _parts(findings: Sequence[PanelFinding]) -> str:
    return ", ".join(each.part for each in findings)


def _finding(placed: PlacedFinding, drawing: Drawing) -> Html:
    severity = placed.severity
    return element(
        "article",
        element("span", _SAID[severity], class_=f"mark {severity}"),
        _told(placed, drawing),
        class_=f"finding {severity}",
    )


def _card(name: str, panel: Panel, drawing: Drawing) -> Html:
    severity = panel.severity
    tables = [each for each in panel.tables if each.brief]
    link = element("a", _TITLES[name], href=path_of(name))
    state = Html("")
    if severity is not None:
        state = element("span", _SAID[severity], class_=f"mark {severity}")
    return element(
        "article",
        element("h2", link, state),
        element("p", panel.summary, class_="summary"),
        _facts(panel, drawing, _CARD_FACTS),
        joined(
            joined((table(each._replace(rows=each.rows[:_CARD_ROWS]), drawing, each.brief),
                    _more(name, each.found)))
            for each in tables if each.rows
        ),
        _buttons(panel, drawing),
        class_=f"card {severity or 'ok'}",
        id=f"card-{name}",
    )  # fmt: skip


def _more(name: str, found: int) -> Html:
    if found <= _CARD_ROWS:
        return Html("")
    return element("p", element("a", f"All {found:,}", href=path_of(name)), class_="more")


def _facts(panel: Panel, drawing: Drawing, most: int) -> Html:
    if not panel.facts:
        return Html("")
    pairs = (
        joined((element("dt", label), element("dd", draw(value, drawing))))
        for label, value in panel.facts[:most]
    )
    return element("dl", joined(pairs), class_="facts")


def _buttons(panel: Panel, drawing: Drawing) -> Html:
    if not panel.actions:
        return Html("")
    return element("div", joined(button(each, drawing) for each in panel.actions), class_="buttons")


def _notice(done: OperatorAction | None) -> Html:
    if done is None:
        return Html("")
    words = f"{done.what}: {done.words}"
    return element("p", words, class_=f"notice {'ok' if done.done else 'warning'}", role="status")
