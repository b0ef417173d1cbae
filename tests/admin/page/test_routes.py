"""The routes: views, their twins, and what a form may do."""

import asyncio
import json
from urllib.parse import urlencode

import pytest

from sidecar.admin.action_log import ActionLog
from sidecar.admin.page.assets import HEADERS
from sidecar.admin.page.catalog import NAMES
from sidecar.admin.page.collect import PanelCollector
from sidecar.admin.page.events import PageEvents
from sidecar.admin.page.forms import FormTokens
from sidecar.admin.page.routes import PageParts, page_routes
from sidecar.admin.page.views import About
from sidecar.common.errors import Fault
from sidecar.observability.health import Health
from sidecar.observability.panel import Action, Ask, Collect, Panel, Table
from sidecar.transport.http1_messages import Request, Response
from tests.admin.page.hostile import hostile_panel
from tests.admin.page.test_html import HOSTILE
from tests.admin.page.test_views import harmless


class World:
    """The page of a sidecar with one certificate and one action that does as told."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.raising: Exception | None = None
        self.faults: list[Exception] = []
        self.tokens = FormTokens(b"k" * 32)
        self.log = ActionLog(lambda: 5.0)
        self.panels: dict[str, Collect] = {"certificates": self._certificates}
        collector = PanelCollector(
            self.panels, Health(lambda: 1.0), lambda: 9.0, self.faults.append
        )
        self.routes = page_routes(
            PageParts(
                collector,
                collector.overview,
                {"renew": self._act, "revoke": self._act},
                self.log,
                self.tokens,
                PageEvents(collector.overview, asyncio.Event()),
                About("1", "h", 0.0),
                lambda: 9.0,
                self.faults.append,
            )
        )

    def _certificates(self, ask: Ask) -> Panel:
        names = [f"c{number}" for number in range(200) if ask.search in f"c{number}"]
        rows = tuple(
            (name, Action("renew", "Renew", name), Action("revoke", "Revoke …", name, "for good"))
            for name in names[: ask.rows]
        )
        columns = (("name", "Name"), ("renew", ""), ("revoke", ""))
        table = Table("certificates", "Certificates", columns, rows, len(names), is_paged=True)
        return Panel("two hundred", tables=(table,))

    async def _act(self, target: str) -> str:
        if self.raising is not None:
            raise self.raising
        self.done.append(target)
        return f"{target} was done"

    async def ask(self, method: str, path: str, **query: str) -> Response:
        return await self.send(method, path, urlencode(query, errors="replace"))

    async def send(self, method: str, path: str, query: str = "", body: bytes = b"") -> Response:
        request = Request(method, path, query, body, (), "user 0")
        answer = self.routes[method, path](request)
        return answer if isinstance(answer, Response) else await answer

    async def post(self, **changes: str) -> Response:
        fields = {"action": "renew", "target": "c7", "back": "certificates"}
        fields |= {name: value for name, value in changes.items() if name != "token"}
        token = self.tokens.token(fields["action"], fields["target"])
        fields["token"] = changes.get("token", token)
        return await self.send("POST", "/page/do", body=urlencode(fields).encode())


@pytest.fixture
def world() -> World:
    return World()


async def test_the_root_leads_to_the_page(world: World) -> None:
    answer = await world.ask("GET", "/")
    assert (answer.status, dict(answer.headers)["location"]) == (303, "/page")


@pytest.mark.parametrize("path", ["/page", *(f"/page/{name}" for name in NAMES)])
async def test_each_view_is_a_page_under_its_policy_and_has_a_twin(world: World, path: str) -> None:
    answer = await world.ask("GET", path)
    assert (answer.status, answer.content_type) == (200, "text/html; charset=utf-8")
    assert answer.headers == HEADERS
    harmless(answer.body)
    twin = await world.ask("GET", f"{path}.json")
    assert (twin.status, twin.content_type) == (200, "application/json")
    assert isinstance(json.loads(twin.body), dict)


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_query_becomes_no_markup(world: World, text: str) -> None:
    world.panels["keys"] = lambda _ask: hostile_panel(text)
    query = {"q": text, "page": text, "did": text, "id": text, "back": text, "action": text}
    for path in ("/page", "/page/certificates", "/page/keys", "/page/refusals", "/page/confirm"):
        harmless((await world.ask("GET", path, **query)).body)
    harmless((await world.ask("GET", "/page/confirm", action="renew", target=text)).body)


async def test_a_search_finds_and_the_pages_lead_on(world: World) -> None:
    page = (await world.ask("GET", "/page/certificates", q="c19")).body.decode()
    assert "c19" in page
    assert ">c20<" not in page
    twin = json.loads((await world.ask("GET", "/page/certificates.json", q="c19")).body)
    assert twin["tables"]["certificates"]["found"] == 11


async def test_a_form_does_what_it_says_and_leads_back_with_the_outcome(world: World) -> None:
    answer = await world.post()
    where = dict(answer.headers)["location"]
    assert (answer.status, where) == (303, "/page/certificates?did=1")
    assert world.done == ["c7"]
    page = (await world.ask("GET", "/page/certificates", did="1")).body.decode()
    assert "renew c7: c7 was done" in page
    noted = world.log.find("1")
    assert noted is not None
    assert (noted.peer, noted.what, noted.done) == ("user 0", "renew c7", True)


@pytest.mark.parametrize(
    ("exc", "words", "faults"),
    [
        (Fault("it was ordered a moment ago"), "it was ordered a moment ago", 0),
        (ZeroDivisionError("a secret"), "internal error (ZeroDivisionError)", 1),
    ],
)
async def test_what_was_refused_is_said_and_noted(
    world: World, exc: Exception, words: str, faults: int
) -> None:
    world.raising = exc
    assert (await world.post()).status == 303
    noted = world.log.find("1")
    assert noted is not None
    assert not noted.done
    assert words in noted.words
    assert "secret" not in noted.words
    assert len(world.faults) == faults


REFUSED = [
    ("no token", {"token": ""}, 403),
    ("another's token", {"token": "0" * 64}, 403),
    ("the token of another action", {"action": "revoke", "token": "TOKEN"}, 403),
    ("the token of another target", {"target": "c8", "token": "TOKEN"}, 403),
    ("an action that there is not", {"action": "explode"}, 404),
]


@pytest.mark.parametrize(
    ("changes", "status"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
async def test_a_form_that_is_not_ours_does_nothing(
    world: World, changes: dict[str, str], status: int
) -> None:
    ours = world.tokens.token("renew", "c7")
    answer = await world.post(**{k: v.replace("TOKEN", ours) for k, v in changes.items()})
    assert answer.status == status
    assert world.done == []
    harmless(answer.body)


async def test_half_a_form_does_nothing(world: World) -> None:
    answer = await world.send("POST", "/page/do", body=b"action=renew")
    assert (answer.status, world.done) == (400, [])


async def test_a_form_leads_to_a_page_of_ours_only(world: World) -> None:
    for back in ("//evil.example", "https://evil.example", "keys/../x", ""):
        answer = await world.post(back=back)
        assert dict(answer.headers)["location"].startswith("/page?did=")


async def test_the_question_is_asked_for_what_is_offered_wherever_it_stands(world: World) -> None:
    answer = await world.ask(
        "GET", "/page/confirm", action="revoke", target="c150", back="certificates"
    )
    page = answer.body.decode()
    assert "Revoke c150?" in page
    assert "for good" in page
    assert world.tokens.token("revoke", "c150") in page
    assert world.done == []


@pytest.mark.parametrize("wanted", [{}, {"action": "revoke", "target": "none"}, {"action": "x"}])
async def test_there_is_no_question_for_what_is_not_offered(
    world: World, wanted: dict[str, str]
) -> None:
    answer = await world.ask("GET", "/page/confirm", **wanted)
    assert answer.status == 404
    assert b"token" not in answer.body


async def test_events_are_a_stream(world: World) -> None:
    answer = await world.ask("GET", "/page/events")
    assert (answer.status, answer.content_type) == (200, "text/event-stream")
