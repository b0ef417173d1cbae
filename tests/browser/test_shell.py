"""In a real Chromium, through the real Envoy over TLS: attacks are blocked, and reported.

The control run is the same pages without the policy: there every attack reaches its goal, so
each of these tests can fail. Everything is tried through both edges: the one that asks for every
request, and the one that repeats answers (``edge-cached.yaml``).
"""

import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Request

from demo.attacks import ATTACKS, Attack, fill
from demo.cases import Minter
from demo.names import PLATFORM, Names
from demo.process import fetch_text
from demo.stack import Stack
from sidecar.common.clock import wall_seconds
from tests.browser.chromium import NO_CHROMIUM, PROGRAM, pin_of
from tests.browser.edges import APP, ASKED, CACHED, PATIENCE_MS, Edge, World, hold_lease

pytestmark = [pytest.mark.real, pytest.mark.skipif(PROGRAM is None, reason=NO_CHROMIUM)]
CONTROL = "https://control.septemcore.com"
TENANTS_OWN = f"https://{PLATFORM.own_domain}"
ARTEFACTS = Path(__file__).parents[2] / "build/browser"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as exits:
        yield World(exits, tmp_path_factory.mktemp("envoys"))


@pytest.fixture(scope="module", params=[ASKED, CACHED])
def edge(world: World, request: pytest.FixtureRequest) -> Iterator[Edge]:
    """Without the decision cache, and with it: a lease is held, and what can be is repeated."""
    with ExitStack() as exits:
        through = Edge(exits, world, world.edges[request.param])
        if request.param == CACHED:
            hold_lease(through, world)
        yield through


through_one_edge = pytest.mark.parametrize("edge", [ASKED], indirect=True)


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


@through_one_edge
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
    text = fetch_text(edge.ports.admin, "/stats?filter=^http.http.downstream_rq_total$")
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


@through_one_edge
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


SESSION = """async token => {
    const api = "https://api.septemcore.com/api/shared/orders";
    const own = {authorization: `Bearer ${token}`};
    const json = {...own, "content-type": "application/json"};
    const form = new URLSearchParams({name: "value"});
    document.cookie = "theme=dark; path=/";
    const requests = {
        get: ["/api/orders", {headers: own}],
        again: ["/api/orders", {headers: own, cache: "reload"}],
        query: ["/api/orders?page=2&q=a%20b", {headers: own}],
        conditional: ["/api/orders", {headers: {...own, "if-none-match": '"x"'}}],
        range: ["/api/orders", {headers: {...own, range: "bytes=0-3"}}],
        head: ["/api/orders", {method: "HEAD", headers: own}],
        post: ["/api/orders", {method: "POST", headers: json, body: "{}"}],
        form: ["/api/orders", {method: "POST", headers: own, body: form}],
        put: ["/api/orders", {method: "PUT", headers: json, body: "{}"}],
        remove: ["/api/orders", {method: "DELETE", headers: own}],
        kept: ["/api/orders", {headers: own, keepalive: true}],
        bare: ["/api/orders", {headers: own, credentials: "omit", referrerPolicy: "no-referrer"}],
        escaped: ["/api/a%20b", {headers: own}],
        file: ["/shell/icon.svg", {headers: own}],
        anonymous: ["/api/orders", {}],
        forged: ["/api/orders", {headers: {...own, "x-tenant-id": "evil", "x-roles": "root"}}],
        other: ["/api/orders", {headers: {authorization: own.authorization + "x"}}],
        preflight: [api, {headers: {...own, "x-client": "1"}, credentials: "include"}],
        across: [api, {method: "POST", headers: json, body: "{}"}],
        unread: ["https://api.septemcore.com/api/orders", {headers: own}],
    };
    const seen = {};
    for (const [name, [url, options]] of Object.entries(requests)) {
        try {
            const answer = await fetch(url, options);
            seen[name] = [answer.status, answer.type, [...answer.headers], await answer.text()];
        } catch (fault) {
            seen[name] = String(fault);
        }
    }
    seen.socket = await new Promise(done => {
        const socket = new WebSocket(`wss://${location.host}/api/orders`, ["bearer", token]);
        socket.onopen = () => done("open");
        socket.onclose = closed => done(closed.code);
    });
    return seen;
}"""
OF_EACH = {"date", "x-request-id", "x-envoy-upstream-service-time"}
OWN_IDS = re.compile(r"urn:septem:decision:\w+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
REPEATABLE = {
    "get", "again", "query", "conditional", "range", "head", "post", "form", "put", "remove",
    "kept", "bare", "file", "forged",
}  # fmt: skip


def session(page: Page, token: str) -> Any:
    """Have a page send all that its scripts can; without what is each answer's own."""
    seen = page.evaluate(SESSION, token)
    for answer in seen.values():
        if isinstance(answer, list):
            answer[2] = [pair for pair in answer[2] if pair[0] not in OF_EACH]
            answer[3] = OWN_IDS.sub("", answer[3])
    return seen


def test_a_signed_in_page_gets_the_same_answers_asked_and_repeated(world: World) -> None:
    """Through the edge that asks, then through the other: not yet remembered, then repeated."""
    token = Minter(world.stack.key, wall_seconds()).good(sub="in-a-browser", jti="in-a-browser")
    seen, repeated = [], []
    for name, times in ((ASKED, 1), (CACHED, 3)):
        with ExitStack() as exits:
            edge = Edge(exits, world, world.edges[name])
            if name == CACHED:
                hold_lease(edge, world)
            page = edge.visit(f"{APP}/shell/?only=none")
            for _ in range(times):
                before = world.repeated()
                seen.append(session(page, token))
                repeated.append(world.repeated() - before)
    assert seen[0]["get"][0] == seen[0]["file"][0] == seen[0]["across"][0] == 200
    assert seen[0]["anonymous"][0] == seen[0]["other"][0] == 401
    assert seen[0]["unread"] == "TypeError: Failed to fetch", "no route of that origin's"
    for later in seen[1:]:
        for name, answer in later.items():
            assert answer == seen[0][name], name
    assert repeated[0] == 0
    assert repeated[2:] == [len(REPEATABLE)] * 2
