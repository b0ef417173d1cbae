"""The edges of one stack, with and without the decision cache, and a Chromium for each."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from demo.cases import Minter
from demo.envoyproxy import EdgePorts, Envoy, edge_config, redirect_to
from demo.names import PLATFORM
from demo.process import fetch_text, free_ports
from demo.stack import Stack
from sidecar.common.clock import wall_seconds
from tests.browser.chromium import chromium, pin_of
from tests.support.waiting import wait_until

APP = f"https://{PLATFORM.app}"
ASKED, CACHED = "edge.yaml", "edge-cached.yaml"
REPEATED = "septem_decision_cache_repeated_total"
PATIENCE_MS = 60_000
Row = tuple[str, str, str]


class CorsStack(Stack):
    """The demo's stack, whose API a page of the platform may read across origins."""

    def _sidecar_config(self) -> Mapping[str, Any]:
        config = super()._sidecar_config()
        pages = {"pages": {"origins": [APP], "credentials": True}}
        shared = {"name": "shared", "path_prefix": "/api/shared", "cors": "pages", "csp": "api"}
        headers = {**config["headers"], "cors": pages}
        return {**config, "headers": headers, "routes": [shared, *config["routes"]]}


class World:
    """The stack, its edges, and one of them that takes the policy away.

    The stack's own Envoy is the cached edge; the other stands beside it, before the same sidecar.
    """

    def __init__(self, exits: ExitStack, folder: Path) -> None:
        self.stack = exits.enter_context(CorsStack(names=PLATFORM, decision_cache={}))
        self._exits, self._folder = exits, folder
        plain = self._start_envoy("plain")
        self.edges = {ASKED: plain, CACHED: self.stack.ports}
        self.control = self._start_envoy("control", self._without_policy)
        self.chromium = exits.enter_context(sync_playwright()).chromium

    def _start_envoy(self, name: str, change: Callable[[Any], None] = lambda _: None) -> EdgePorts:
        http, https, admin = free_ports(3)
        ports = self.stack.ports._replace(http=http, https=https, admin=admin)
        config = edge_config(ports, name=ASKED)
        redirect_to(config, 443)
        change(config)
        folder = self._folder / name
        folder.mkdir()
        self._exits.callback(Envoy(config, folder).stop)
        return ports

    @staticmethod
    def _without_policy(config: Any) -> None:
        listeners = {each["name"]: each for each in config["static_resources"]["listeners"]}
        manager = listeners["https"]["filter_chains"][0]["filters"][0]["typed_config"]
        mutations = manager["http_filters"][0]["typed_config"]["mutations"]
        for name in ("content-security-policy", "x-frame-options"):
            mutations["response_mutations"].append({"remove": name})

    def repeated(self) -> float:
        """Count what the cached edge's module repeated."""
        text = fetch_text(self.stack.admin_port, "/metrics")
        (line,) = (each for each in text.splitlines() if each.startswith(f"{REPEATED} "))
        return float(line.rpartition(" ")[2])


class Edge:
    """One of the edges, and a browser that knows it and the control."""

    def __init__(self, exits: ExitStack, world: World, ports: EdgePorts) -> None:
        self.stack, self.ports, self._chromium = world.stack, ports, world.chromium
        cdn, attacker = self.stack.cdn.port, self.stack.attacker.port
        places = [
            (f"{PLATFORM.cdn}:443", cdn),
            (f"{PLATFORM.foreign}:443", attacker),
            ("control.septemcore.com:443", world.control.https),
            *((f"{host}:443", ports.https) for host in ("*.septemcore.com", "*.example")),
            *((f"{host}:80", ports.http) for host in ("*.septemcore.com", "*.example")),
        ]
        known = {ports.https: PLATFORM.app, cdn: PLATFORM.cdn, attacker: PLATFORM.foreign}
        pins = [pin_of(port, name) for port, name in known.items()]
        self.browser: Browser = exits.enter_context(chromium(self._chromium, places, pins))
        self.context: BrowserContext = self.browser.new_context()
        self._page = self.context.new_page()

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


def hold_lease(edge: Edge, world: World) -> None:
    """Have a page send requests until answers are repeated."""
    before, page = world.repeated(), edge.visit(f"{APP}/shell/?only=none")
    fetched = (
        "token => fetch('/api/x', {headers: {authorization: `Bearer ${token}`}}).then(() => 0)"
    )
    token = Minter(edge.stack.key, wall_seconds()).good()

    def repeats() -> bool:
        page.evaluate(fetched, token)
        return world.repeated() > before

    wait_until(repeats)
