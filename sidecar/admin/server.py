"""The operator's HTTP server on loopback, protected against web pages.

The ``Host`` header must name this machine, so that a web page in a browser on it can't read
answers by pointing its own name here (DNS rebinding). Nor may a page cause an action: a request
that is not a plain read is refused if it has any sign of a browser. Those are ``Origin`` (RFC
6454 §7.3), the ``Sec-Fetch-…`` headers (Fetch Metadata), ``Referer``, ``Cookie``, and the three
body types that a form or a beacon sends without a preflight (Fetch, "CORS-safelisted
request-header"). Of reads, a page of another site may only navigate: its images, scripts and
frames get nothing.

One path takes forms: that of the operator's own page. Its browser must say that the form comes
from this very origin, and the handler wants the form's token as well.

Every request that is not a read is noted, with who sent it.
"""

import contextlib
from collections.abc import Callable
from ipaddress import ip_address

import h11

from sidecar.admin.action_log import ActionLog
from sidecar.admin.page.routes import FORM_PATH
from sidecar.transport.http1 import IDLE_SECONDS, REQUEST_SECONDS, HttpServer
from sidecar.transport.http1_messages import Refusal, Request, Response, Routes

_SAFE_METHODS = frozenset({b"GET", b"HEAD"})
_OF_BROWSERS = frozenset({b"origin", b"referer", b"cookie"})
_FETCH_METADATA = b"sec-fetch-"
_SIMPLE_TYPES = frozenset(
    {b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain"}
)
_OTHER_SITES = frozenset({b"cross-site", b"same-site"})
_FIRST_REFUSAL = 400
_NOT_HERE = Refusal(421, "the Host header must be an IP address or localhost")
_OF_A_PAGE = Refusal(
    403,
    "web pages may not send this request; without a browser: curl -X POST, "
    "without Origin, Referer, Cookie, Sec-Fetch header or a form's content-type",
)
_OF_ANOTHER_SITE = Refusal(
    403, "pages of other sites may not load this; open it by its address instead"
)
_OF_ANOTHER_ORIGIN = Refusal(
    403,
    "this takes forms of the operator's page alone; without a browser use the routes of"
    " docs/operations.md",
)
_FORM_TYPE = b"application/x-www-form-urlencoded"


class AdminServer(HttpServer):
    """The admin port's server: it refuses requests of web pages."""

    def __init__(
        self,
        address: str,
        routes: Routes,
        *,
        on_fault: Callable[[Exception], None],
        actions: ActionLog | None = None,
        request_seconds: float = REQUEST_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        super().__init__(
            address,
            routes,
            on_fault=on_fault,
            guard=refuse_web_pages,
            request_seconds=request_seconds,
            idle_seconds=idle_seconds,
        )
        self._actions = actions

    async def _answer(self, request: Request) -> Response:
        """Answer, and note every request that is not a read; the page notes its own."""
        response = await super()._answer(request)
        is_read = request.method.encode() in _SAFE_METHODS
        if self._actions is not None and not is_read and request.path != FORM_PATH:
            what = f"{request.method} {request.path}" + (request.query and f"?{request.query}")
            done = response.status < _FIRST_REFUSAL
            self._actions.note(request.peer, what, f"status {response.status}", done=done)
        return response


def refuse_web_pages(head: h11.Request) -> Refusal | None:
    """Return why a request is refused: it may be a web page's. ``None`` for an operator's."""
    if not _is_this_machine(head):
        return _NOT_HERE
    if head.method == b"POST" and head.target == FORM_PATH.encode():
        return None if _is_our_form(head) else _OF_ANOTHER_ORIGIN
    if head.method not in _SAFE_METHODS:
        return _OF_A_PAGE if any(_is_of_a_browser(*field) for field in head.headers) else None
    metadata = {
        name: value.lower() for name, value in head.headers if name.startswith(_FETCH_METADATA)
    }
    is_opened = metadata.get(b"sec-fetch-mode") == b"navigate" and (
        metadata.get(b"sec-fetch-dest") == b"document"
    )
    if metadata.get(b"sec-fetch-site") in _OTHER_SITES and not is_opened:
        return _OF_ANOTHER_SITE
    return None


def _is_our_form(head: h11.Request) -> bool:
    """Return whether a form comes from a page of this very origin (RFC 6454 §7, Fetch Metadata).

    Cookies say nothing: those of other servers on this machine come along.
    """

    def values(wanted: bytes) -> list[bytes]:
        return [value for name, value in head.headers if name == wanted]

    hosts, sites = values(b"host"), values(b"sec-fetch-site")
    types = [value.partition(b";")[0].strip().lower() for value in values(b"content-type")]
    return (
        len(hosts) == 1
        and values(b"origin") == [b"http://" + hosts[0].lower()]
        and sites in ([], [b"same-origin"])
        and types == [_FORM_TYPE]
    )


def _is_of_a_browser(name: bytes, value: bytes) -> bool:
    if name == b"content-type":
        return value.partition(b";")[0].strip().lower() in _SIMPLE_TYPES
    return name in _OF_BROWSERS or name.startswith(_FETCH_METADATA)


def _is_this_machine(request: h11.Request) -> bool:
    """Return whether ``Host`` is an IP literal or ``localhost``, which DNS can't point here."""
    hosts = [value.decode("latin-1") for name, value in request.headers if name == b"host"]
    if len(hosts) != 1:
        return not hosts
    name = hosts[0].rpartition(":")[0] if hosts[0].rpartition(":")[2].isdigit() else hosts[0]
    if name.lower() == "localhost":
        return True
    with contextlib.suppress(ValueError):
        ip_address(name.strip("[]"))
        return True
    return False
