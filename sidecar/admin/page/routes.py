"""The routes of the operator's page: views, their JSON twins, actions, and events."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qsl

from sidecar.admin.action_log import ActionLog, OperatorAction
from sidecar.admin.page.assets import HEADERS
from sidecar.admin.page.catalog import NAMES
from sidecar.admin.page.collect import Overview, PanelCollector
from sidecar.admin.page.document import panel_document, status_document
from sidecar.admin.page.events import PageEvents
from sidecar.admin.page.forms import FormTokens, PostedForm, read_form
from sidecar.admin.page.values import Drawing, path_of
from sidecar.admin.page.views import About, confirm_page, first_page, panel_page, plain_page
from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from sidecar.observability.panel import Act, Action, Ask, Panel, Value
from sidecar.transport.http1_messages import Handler, Request, Response

FORM_PATH = "/page/do"
"""The only path that takes a form of a browser; the guard of the server knows it."""
MAX_FIELDS = 32
_HTML = "text/html; charset=utf-8"
_SEE_OTHER = 303


class PageParts(NamedTuple):
    """What the page is made of."""

    collector: PanelCollector
    overview: Callable[[], Awaitable[Overview]]
    """Collects everything, once for all who ask at the same time."""
    actions: Mapping[str, Act]
    log: ActionLog
    tokens: FormTokens
    events: PageEvents
    about: About
    now: Now
    on_fault: Callable[[Exception], None]


def page_routes(parts: PageParts) -> Mapping[tuple[str, str], Handler]:
    """Return the routes by method and path."""
    page = OperatorPage(parts)
    routes: dict[tuple[str, str], Handler] = {
        ("GET", "/"): lambda _request: _moved("/page"),
        ("GET", "/page"): page.first,
        ("GET", "/page.json"): page.first_document,
        ("GET", "/page/confirm"): page.confirm,
        ("GET", "/page/events"): parts.events.answer,
        ("POST", FORM_PATH): page.act,
    }
    for name in NAMES:
        routes["GET", f"/page/{name}"] = partial(page.panel, name)
        routes["GET", f"/page/{name}.json"] = partial(page.panel_document, name)
    return routes


class OperatorPage:
    """Answers requests for views, and does what forms ask for."""

    def __init__(self, parts: PageParts) -> None:
        self._parts = parts

    async def first(self, request: Request) -> Response:
        """Answer with the first page."""
        parts, overview = self._parts, await self._parts.overview()
        drawing = Drawing(parts.now(), parts.tokens)
        done = self._done(_query_of(request))
        body = first_page(overview.status, overview.panels, parts.about, drawing, done)
        return _html(body)

    async def first_document(self, _request: Request) -> Response:
        """Answer with the same as JSON."""
        overview = await self._parts.overview()
        return Response.json(200, status_document(overview.status, overview.panels))

    async def panel(self, name: str, request: Request) -> Response:
        """Answer with the page of one panel."""
        parts, query = self._parts, _query_of(request)
        ask = Ask(parts.now(), query)
        overview = await parts.overview()
        panel = await parts.collector.panel(name, ask)
        drawing = Drawing(ask.now, parts.tokens, name)
        done = self._done(query)
        return _html(panel_page(name, panel, ask, overview.status, parts.about, drawing, done))

    async def panel_document(self, name: str, request: Request) -> Response:
        """Answer with the same as JSON."""
        ask = Ask(self._parts.now(), _query_of(request))
        return Response.json(200, panel_document(await self._parts.collector.panel(name, ask)))

    async def confirm(self, request: Request) -> Response:
        """Ask before something is done that can't be taken back."""
        parts, query = self._parts, _query_of(request)
        back = query.get("back", "")
        wanted = query.get("action", ""), query.get("target", "")
        overview = await parts.overview()
        action = await self._offered(*wanted, overview)
        if action is None:
            return _html(plain_page("This can't be done here now."), 404)
        drawing = Drawing(parts.now(), parts.tokens, back if back in NAMES else "")
        return _html(confirm_page(action, overview.status, parts.about, drawing))

    async def act(self, request: Request) -> Response:
        """Do what a form asks for, and lead back to where it was."""
        form = read_form(request.body)
        if form is None:
            return _html(plain_page("This form is incomplete."), 400)
        parts = self._parts
        what = f"{form.action} {form.target}".strip()
        if not parts.tokens.is_ours(form):
            parts.log.note(request.peer, what, "the form is not of this process's page", done=False)
            words = "This form is of another process, or of no page of this one: load it again."
            return _html(plain_page(words), 403)
        act = parts.actions.get(form.action)
        if act is None:
            return _html(plain_page("There is no such action on this sidecar."), 404)
        words, is_done = await self._perform(act, form)
        done = parts.log.note(request.peer, what, words, done=is_done)
        back = form.back if form.back in NAMES else ""
        return _moved(path_of(back, {"did": str(done.number)}))

    async def _perform(self, act: Act, form: PostedForm) -> tuple[str, bool]:
        try:
            return await act(form.target), True
        except Fault as fault:
            return str(fault), False
        except Exception as exc:  # noqa: BLE001 - an action's edge: it is noted as refused
            self._parts.on_fault(exc)
            return f"internal error ({type(exc).__name__}); the log has more", False

    async def _offered(self, name: str, target: str, overview: Overview) -> Action | None:
        """Return an action that a panel offers now, with its warning."""
        for panel_name, panel in overview.panels:
            if (found := _find(panel, name, target)) is not None:
                return found
            if any(table.is_paged for table in panel.tables):
                ask = Ask(self._parts.now(), {"q": target})
                searched = await self._parts.collector.panel(panel_name, ask)
                if (found := _find(searched, name, target)) is not None:
                    return found
        return None

    def _done(self, query: Mapping[str, str]) -> OperatorAction | None:
        return self._parts.log.find(query.get("did", ""))


def _find(panel: Panel, name: str, target: str) -> Action | None:
    values: list[Value] = [*panel.actions]
    values += [value for table in panel.tables for row in table.rows for value in row]
    for value in values:
        if isinstance(value, Action) and (value.name, value.target) == (name, target):
            return value
    return None


def _query_of(request: Request) -> dict[str, str]:
    try:
        return dict(parse_qsl(request.query, max_num_fields=MAX_FIELDS))
    except ValueError:
        return {}


def _html(body: bytes, status: int = 200) -> Response:
    return Response(status, body, _HTML, HEADERS)


def _moved(path: str) -> Response:
    return Response(_SEE_OTHER, b"", headers=(("location", path), *HEADERS))
