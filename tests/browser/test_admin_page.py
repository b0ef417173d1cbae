"""The operator's page in a real Chromium: with and without its script, and against other pages.

What it looks like is kept in build/browser; docs/images has the pictures of docs/admin-page.md.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from demo.openbao import OpenBao
from sidecar.admin.page.events import MAX_STREAMS
from tests.admin.page.served import Forms, Served
from tests.admin.page.test_html import HOSTILE
from tests.browser.chromium import NO_CHROMIUM, PROGRAM, chromium
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.skipif(PROGRAM is None, reason=NO_CHROMIUM)]
ARTEFACTS = Path(__file__).parents[2] / "build/browser"
REBOUND, EVIL = "rebound.example", "evil.example"
PANELS = ("", "/certificates", "/workers", "/refusals")


class EvilSite(ThreadingHTTPServer):
    """Another site, whose one page is what a test says."""

    def __init__(self) -> None:
        self.page = ""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.end_headers()
                self.wfile.write(site.page.encode())

            def log_message(self, *_args: object) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class World:
    """A sidecar, another site, and a browser that finds both; another name leads here too."""

    def __init__(self, exits: ExitStack, folder: Path) -> None:
        openbao = OpenBao()
        exits.callback(openbao.stop)
        self.served = Served(folder, openbao)
        exits.callback(self.served.stop)
        self.evil = EvilSite()
        exits.callback(self.evil.server_close)
        exits.callback(self.evil.shutdown)
        threading.Thread(target=self.evil.serve_forever, daemon=True).start()
        kind = exits.enter_context(sync_playwright()).chromium
        port = self.served.port
        places = [(f"{REBOUND}:{port}", port), (f"{EVIL}:80", self.evil.port)]
        places.append((f"127.0.0.1:{port}", port))
        self.browser: Browser = exits.enter_context(chromium(kind, places, []))

    @property
    def origin(self) -> str:
        return self.served.page.origin

    def open(self, path: str = "/page", **context: object) -> Page:
        page = self.browser.new_context(**context).new_page()  # type: ignore[arg-type]
        page.goto(self.origin + path)
        return page

    def actions(self) -> int:
        return len(self.served.page.document("operators")["tables"]["actions"]["rows"])

    def visit_evil(self, body: str) -> Page:
        self.evil.page = f"<!doctype html><title>evil</title>{body}"
        page = self.browser.new_context().new_page()
        page.goto(f"http://{EVIL}/")
        return page


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as exits:
        yield World(exits, tmp_path_factory.mktemp("served"))


def test_without_a_script_it_is_whole_and_its_buttons_work(world: World) -> None:
    page = world.open("/", java_script_enabled=False)
    assert page.url == f"{world.origin}/page"
    assert page.locator("h1").text_content() == "Ready"
    page.get_by_role("button", name="Read keys and revocations now").click()
    assert "did=" in page.url
    assert "Every source was read" in (page.locator(".notice").text_content() or "")
    page.goto(f"{world.origin}/page/workers")
    page.get_by_role("button", name="Drain and restart …").first.click()
    assert "Worker 0 answers what it has" in (page.locator(".ask").text_content() or "")
    page.get_by_role("button", name="Yes: Drain and restart 0").click()
    assert "has answered what it had" in (page.locator(".notice").text_content() or "")
    page.context.close()


def test_a_search_without_a_script(world: World) -> None:
    page = world.open("/page/certificates", java_script_enabled=False)
    page.get_by_role("searchbox").fill("nothing like it")
    page.get_by_role("button", name="Search").click()
    assert "nothing found" in (page.locator("#table-certificates").text_content() or "")
    page.context.close()


def test_with_its_script_it_follows_what_happens(world: World) -> None:
    page = world.open()
    page.wait_for_selector("#live.on")
    served = world.served
    served.path.write_text(served.config().replace("path_prefix: /}", "path_prefix: x}"))
    served.page.act("/page", "reload")
    page.wait_for_selector(".banner.warning")
    assert "The last reload was rejected" in (page.locator(".banner").text_content() or "")
    assert page.title().startswith("Ready, and something needs you")
    served.path.write_text(served.config())
    served.page.act("/page", "reload")
    page.wait_for_selector(".banner.ok")
    page.context.close()


def test_a_page_beyond_the_bound_of_streams_is_shown_without_one(world: World) -> None:
    port = world.served.port
    ask = f"GET /page/events HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode()
    with ExitStack() as exits:

        def opens() -> bool:
            peer = exits.enter_context(socket.create_connection(("127.0.0.1", port)))
            peer.sendall(ask)
            return peer.recv(12) == b"HTTP/1.1 200"

        for _ in range(MAX_STREAMS):
            wait_until(opens)  # pages of other tests have just been closed
        assert world.served.page.send("GET", "/page/events")[0] == 503
        page = world.open()
        assert page.locator("h1").text_content() == "Ready"
        assert page.locator("#live.on").count() == 0
    page.wait_for_selector("#live.on")  # once there is room: it has tried again
    page.context.close()


def test_nothing_that_was_sent_runs(world: World) -> None:
    """Through the doors that a stranger has, and as the query of each view."""
    page = world.browser.new_context().new_page()
    said: list[str] = []
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    for text in HOSTILE:
        world.served.deny(f"/{text.encode('utf-8', 'replace').decode()}")
    for number, text in enumerate(HOSTILE):
        path = ("/page", "/page/refusals", "/page/certificates", "/page/confirm")[number % 4]
        query = dict.fromkeys(("q", "action", "target", "did", "reason", "id"), text)
        page.goto(f"{world.origin}{path}?{urlencode(query, errors='replace')}")
    page.goto(f"{world.origin}/page/refusals")
    page.wait_for_selector("#live.on")
    assert page.locator("#table-lines tbody tr").count() >= len(HOSTILE)
    assert [each for each in said if "404" not in each] == []
    page.context.close()


FORM = """<form method=post action="{origin}/page/do"><input name=action value=refresh>
<input name=target value=""><input name=back value=""><input name=token value="{token}">
</form><script>document.forms[0].submit()</script>"""


def test_a_page_of_another_site_can_act_by_no_form(world: World) -> None:
    """Not even with a token that it would have to have read here."""
    before = world.actions()
    (form, *_) = Forms.of(world.served.page.send("GET", "/page")[2])
    token = form["token"]
    page = world.visit_evil(FORM.format(origin=world.origin, token=token))
    page.wait_for_url(f"{world.origin}/page/do")
    assert "403" in (page.locator("body").text_content() or "")
    assert world.actions() == before
    page.context.close()


READ = """async ([origin, path]) => {
    const tries = [
        () => fetch(origin + path).then(a => a.text()),
        () => fetch(origin + path, {mode: "no-cors"}).then(a => a.text()),
        () => new Promise((yes, no) => {
            const stream = new EventSource(origin + "/page/events");
            stream.onopen = () => yes("open"); stream.onerror = () => no(new Error("closed"));
        }),
    ];
    const got = [];
    for (const each of tries) {
        try { got.push(await each()); } catch (error) { got.push("failed"); }
    }
    return got;
}"""


def test_a_page_of_another_site_reads_nothing(world: World) -> None:
    page = world.visit_evil("")
    for path in ("/page", "/page.json", "/page/keys.json"):
        got = page.evaluate(READ, [world.origin, path])
        assert set(got) <= {"failed", ""}
    page.context.close()


def test_a_name_that_was_pointed_here_reads_nothing(world: World) -> None:
    page = world.browser.new_context().new_page()
    answer = page.goto(f"http://{REBOUND}:{world.served.port}/page")
    assert answer is not None
    assert answer.status == 421
    assert "Septem" not in page.content()
    page.context.close()


def test_no_page_frames_it(world: World) -> None:
    page = world.visit_evil(f'<iframe src="{world.origin}/page"></iframe>')
    wait_until(lambda: len(page.frames) == 2 and page.frames[1].url != "about:blank")
    page.wait_for_load_state()
    assert page.frames[1].locator("h1, form").count() == 0
    assert "other sites may not" in (page.frames[1].locator("body").text_content() or "")
    page.context.close()


LOOKS = [("light", 1280), ("dark", 1280), ("light", 420)]


@pytest.mark.parametrize(("scheme", "width"), LOOKS, ids=str)
def test_it_fits_and_is_legible(world: World, scheme: str, width: int) -> None:
    world.served.deny()
    page = world.open(color_scheme=scheme, viewport={"width": width, "height": 900})
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    for panel in PANELS:
        page.goto(f"{world.origin}/page{panel}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, panel
        shot = ARTEFACTS / f"admin-{scheme}-{width}{panel.replace('/', '-')}.png"
        assert len(page.screenshot(path=shot, full_page=True)) > 10_000
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 150) is (scheme == "dark")
    page.context.close()


def test_its_sizes_and_colours_are_those_of_its_own_style(world: World) -> None:
    """Its policy lets its one style and its one script through, and says so nowhere."""
    page = world.browser.new_context().new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{world.origin}/page")
    page.wait_for_selector("#live.on")
    assert page.evaluate("getComputedStyle(document.querySelector('.cards')).columnWidth") == (
        "420px"
    )
    assert said == []
    page.context.close()
