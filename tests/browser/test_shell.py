"""In a real Chromium, through the real Envoy over TLS: attacks are blocked, and reported.

The control run is the same pages without the policy: there every attack reaches its goal, so
each of these tests can fail.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from demo.attacks import ATTACKS, Attack, fill
from demo.cases import Minter
from demo.envoyproxy import Envoy, edge_config
from demo.names import PLATFORM, Names
from demo.process import fetch_text, free_ports
from demo.stack import Stack
from sidecar.common.clock import wall_seconds
from tests.browser.chromium import NO_CHROMIUM, PROGRAM, chromium, pin_of

pytestmark = [pytest.mark.real, pytest.mark.skipif(PROGRAM is None, reason=NO_CHROMIUM)]
APP = f"https://{PLATFORM.app}"
CONTROL = "https://control.septemcore.com"
TENANTS_OWN = f"https://{PLATFORM.own_domain}"
ARTEFACTS = Path(__file__).parents[2] / "build/browser"
PATIENCE_MS = 60_000
Row = tuple[str, str, str]


class Edge:
    """The stack, an Envoy that takes the policy away, and a browser that knows both."""

    def __init__(self, exits: ExitStack, folder: Path) -> None:
        self.stack = exits.enter_context(Stack(names=PLATFORM))
        control = self._start_control(exits, folder)
        ports, cdn, attacker = self.stack.ports, self.stack.cdn.port, self.stack.attacker.port
        places = [
            (f"{PLATFORM.cdn}:443", cdn),
            (f"{PLATFORM.foreign}:443", attacker),
            ("control.septemcore.com:443", control),
            *((f"{host}:443", ports.https) for host in ("*.septemcore.com", "*.example")),
            *((f"{host}:80", ports.http) for host in ("*.septemcore.com", "*.example")),
        ]
        known = {ports.https: PLATFORM.app, cdn: PLATFORM.cdn, attacker: PLATFORM.foreign}
        pins = [pin_of(port, name) for port, name in known.items()]
        self._chromium = exits.enter_context(sync_playwright()).chromium
        self.browser: Browser = exits.enter_context(chromium(self._chromium, places, pins))
        self.context: BrowserContext = self.browser.new_context()
        self._page = self.context.new_page()

    def _start_control(self, exits: ExitStack, folder: Path) -> int:
        http, https, admin = free_ports(3)
        ports = self.stack.ports._replace(http=http, https=https, admin=admin)
        config = edge_config(ports)
        listeners = {each["name"]: each for each in config["static_resources"]["listeners"]}
        manager = listeners["https"]["filter_chains"][0]["filters"][0]["typed_config"]
        mutations = manager["http_filters"][0]["typed_config"]["mutations"]
        for name in ("content-security-policy", "x-frame-options"):
            mutations["response_mutations"].append({"remove": name})
        exits.callback(Envoy(config, folder).stop)
        return https

    def visit(self, url: str, **context: Any) -> Page:
        """Open a page and wait until it has made all its attempts; a new one in a new context."""
        page = self.browser.new_context(**context).new_page() if context else self._page
        page.goto(url)
        page.wait_for_selector("body[data-done]", timeout=PATIENCE_MS)
        return page

    @contextmanager
    def another(self, places: Iterable[tuple[str, int]], pins: Iterable[str]) -> Iterator[Page]:
        """Run a second browser for other names; yields a page of it."""
        with chromium(self._chromium, places, pins) as browser:
            yield browser.new_page()

    def forget(self) -> None:
        """Start to listen anew."""
        self.stack.attacker.paths.clear()
        self.stack.application.requests.clear()

    def reports(self) -> Counter[Row]:
        """Return what the sidecar has counted: directive, what was blocked, the page's origin."""
        document = json.loads(fetch_text(self.stack.admin_port, "/csp/reports"))
        found: Counter[Row] = Counter()
        for row in document["rows"]:
            found[row["directive"], row["blocked"], row["document"]] += row["count"]
        return found

    def wait_for_report(self, before: Counter[Row], wanted: Callable[[Row], bool]) -> None:
        """Wait until a report that was not there before is."""
        deadline = time.monotonic() + 20
        while not any(wanted(row) for row in self.reports() - before):
            assert time.monotonic() < deadline, f"not reported; new: {self.reports() - before}"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with ExitStack() as exits:
        yield Edge(exits, tmp_path_factory.mktemp("control"))


def state_of(page: Page, attack: str) -> tuple[str | None, str | None]:
    """Return what the page says of an attack: its state, and the directive that stopped it."""
    card = page.locator(f"#{attack}")
    return card.get_attribute("data-state"), card.locator(".directive").text_content()


def origins_of(attack: Attack, edge: Edge) -> set[str]:
    """What the reports call the thing blocked: an origin, or a word."""
    filled = (fill(each, edge.stack.targets) for each in attack.blocked)
    return {"/".join(each.split("/")[:3]) for each in filled}


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_blocked_and_reported(edge: Edge, attack: Attack) -> None:
    edge.forget()
    before = edge.reports()
    page = edge.visit(f"{APP}/shell/?only={attack.name}")
    state, directive = state_of(page, attack.name)
    assert state == "blocked"
    assert directive in attack.directives
    assert edge.stack.attacker.paths == []
    assert edge.stack.application.requests[PLATFORM.other_domain, "/shell/steal/tenant"] == 0
    origins = origins_of(attack, edge)
    edge.wait_for_report(
        before, lambda row: row[0] in attack.directives and row[1] in origins and row[2] == APP
    )


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_control_without_the_policy_it_gets_through(edge: Edge, attack: Attack) -> None:
    edge.forget()
    page = edge.visit(f"{CONTROL}/shell/?only={attack.name}")
    assert state_of(page, attack.name)[0] == "landed"


def test_the_shell_runs_its_own_scripts_and_the_cdns(edge: Edge) -> None:
    """All attacks on one page: what a person sees who opens the demo."""
    edge.forget()
    page = edge.visit(f"{APP}/shell/", viewport={"width": 1280, "height": 960})
    body = page.locator("body")
    for script in ("own", "nonce", "cdn"):
        assert body.get_attribute(f"data-{script}") == "ran"
    assert edge.stack.cdn.paths[-1] == "/module.js"
    states = {attack.name: state_of(page, attack.name)[0] for attack in ATTACKS}
    assert set(states.values()) == {"blocked"}, states
    assert page.locator("#through").text_content() == "0"
    assert page.locator("#hits").text_content() == "0"
    assert edge.stack.attacker.paths == []
    page.wait_for_function("Number(document.getElementById('reports').textContent) > 0")
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    picture = page.screenshot(path=ARTEFACTS / "shell.png", full_page=True)
    assert len(picture) > 50_000
    page.context.close()


FRAME = """url => new Promise(done => {
    const frame = document.createElement("iframe");
    frame.onload = () => done();
    frame.src = url;
    document.body.append(frame);
})"""


def framed_by_the_attacker(edge: Edge, url: str) -> str:
    """Have the attacker's page frame a page; returns what is in the frame."""
    page = edge.context.new_page()
    page.goto(f"https://{PLATFORM.foreign}/")
    page.evaluate(FRAME, url)
    (_, _, ours) = page.frames  # the page, its own frame, and the one just added
    deadline = time.monotonic() + 20
    while not ours.url.startswith(("https:", "chrome-error:")):
        assert time.monotonic() < deadline, ours.url
        page.wait_for_timeout(20)
    url_inside = ours.url
    page.close()
    return url_inside


def test_framing_by_another_origin_is_blocked_and_reported(edge: Edge) -> None:
    before = edge.reports()
    url = f"{APP}/shell/?only=none"
    assert framed_by_the_attacker(edge, url) == "chrome-error://chromewebdata/"
    edge.wait_for_report(before, lambda row: row[0] == "frame-ancestors")
    framed = f"{CONTROL}/shell/?only=none"
    assert framed_by_the_attacker(edge, framed) == framed, "the control: it can be framed"


def send(page: Page, url: str) -> None:
    """Send a request as the page's scripts would; whether it may read the answer is CORS'."""
    page.evaluate("url => fetch(url, {mode: 'no-cors'}).then(() => null, () => null)", url)


def test_a_tenants_page_reaches_its_own_domain_and_no_other(edge: Edge) -> None:
    token = Minter(edge.stack.key, wall_seconds()).good()
    signed_in = {"extra_http_headers": {"authorization": f"Bearer {token}"}}
    tenants = edge.visit(f"{APP}/shell/?only=none", **signed_in)
    anonymous = edge.visit(f"{APP}/shell/?only=none")
    own, other = f"{TENANTS_OWN}/shell/icon.svg", edge.stack.targets.other_tenant + "/shell/x"
    api = "https://api.septemcore.com/shell/icon.svg"
    edge.forget()
    for page, urls in ((tenants, (own, api, other)), (anonymous, (own, other))):
        for url in urls:
            send(page, url)
    hosts = Counter(host for host, _ in edge.stack.application.requests.elements())
    del hosts[PLATFORM.app]  # the pages ask their own application how things are
    assert hosts == {PLATFORM.own_domain: 1, "api.septemcore.com": 1}
    tenants.context.close()


def test_a_page_on_the_tenants_own_domain_reaches_no_other_tenant(edge: Edge) -> None:
    edge.forget()
    before = edge.reports()
    page = edge.visit(f"{TENANTS_OWN}/shell/?only=tenant")
    assert state_of(page, "tenant") == ("blocked", "connect-src")
    assert edge.stack.application.requests[PLATFORM.other_domain, "/shell/steal/tenant"] == 0
    edge.wait_for_report(
        before, lambda row: row == ("connect-src", edge.stack.targets.other_tenant, TENANTS_OWN)
    )


def plain_requests(edge: Edge) -> int:
    """How many requests came over plain HTTP."""
    text = fetch_text(edge.stack.ports.admin, "/stats?filter=^http.http.downstream_rq_total$")
    return int(text.split(":")[1])


def first_hop(page: Page, url: str) -> Request:
    """Go there and return the first request of the chain that led to the page."""
    response = page.goto(url)
    assert response is not None
    request = response.request
    while request.redirected_from is not None:
        request = request.redirected_from
    return request


def test_plain_http_is_redirected_once_and_never_asked_again(edge: Edge) -> None:
    """The first visit is Envoy's redirect; from then on HSTS has the browser do it itself."""
    context = edge.browser.new_context()
    page = context.new_page()
    before = plain_requests(edge)
    first = first_hop(page, f"http://{PLATFORM.app}/shell/?only=none")
    answer = first.response()
    assert answer is not None
    assert answer.status == 308
    assert page.url == f"{APP}/shell/?only=none"
    assert plain_requests(edge) == before + 1
    for host in (PLATFORM.app, f"below.{PLATFORM.app}"):
        again = first_hop(page, f"http://{host}/shell/?only=none").response()
        assert again is not None
        assert again.status == 307
        assert again.headers["non-authoritative-reason"] == "HSTS"
        assert page.url == f"https://{host}/shell/?only=none"
    assert plain_requests(edge) == before + 1, "no further byte went out in the clear"
    context.close()


def test_on_the_names_of_the_demo_it_is_the_same(edge: Edge) -> None:
    """``make demo``: every part on localhost, on a port of its own."""
    with Stack(names=Names()) as stack, ExitStack() as exits:
        ports = (stack.ports.https, stack.cdn.port, stack.attacker.port)
        pins = [pin_of(port, "localhost") for port in ports]
        page = exits.enter_context(edge.another([(f"localhost:{p}", p) for p in ports], pins))
        page.goto(stack.shell_url)
        page.wait_for_selector("body[data-done]", timeout=PATIENCE_MS)
        states = {attack.name: state_of(page, attack.name)[0] for attack in ATTACKS}
        assert set(states.values()) == {"blocked"}, states
        assert page.locator("body").get_attribute("data-cdn") == "ran"
        assert stack.attacker.paths == []
