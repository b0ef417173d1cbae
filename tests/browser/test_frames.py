"""A page's own frames in a real Chromium: what it reports of them is counted as the page's."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from sidecar.csp.reports.intake import Rates, ReportIntake
from sidecar.csp.reports.store import ReportStore
from sidecar.transport.http1_messages import Request
from tests.browser.chromium import NO_CHROMIUM, PROGRAM, chromium

pytestmark = [pytest.mark.real, pytest.mark.skipif(PROGRAM is None, reason=NO_CHROMIUM)]
HOST = "page.example"
PATIENCE_SECONDS = 30
POLICY = "default-src 'none'; script-src 'nonce-n'; frame-src blob: data:; report-uri /r"
PAGE = b"""<!doctype html><meta charset=utf-8>
<iframe srcdoc="<img src=https://evil.example/srcdoc>"></iframe>
<iframe sandbox srcdoc="<img src=https://evil.example/sandboxed>"></iframe>
<iframe srcdoc="<script>1</script>"></iframe>
<script nonce=n>
  const add = (url) => {
    const frame = document.createElement("iframe");
    if (url) frame.src = url;
    document.body.append(frame);
    return frame;
  };
  const image = (name) => `<img src=https://evil.example/${name}>`;
  add(URL.createObjectURL(new Blob([image("blob")], {type: "text/html"})));
  add("data:text/html," + image("data"));
  add().contentDocument.body.innerHTML = image("blank");
</script>"""
FRAMES = {"srcdoc", "sandboxed", "blob", "data", "blank"}


class Site:
    """A page, and where it reports: what came, and what the intake makes of it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.store = ReportStore(max_rows=64, keep=64)
        self.intake = ReportIntake(
            self.store,
            Rates(1e6, 1e6, 1e6, 1e6),
            domain_owners={},
            hash_key=b"k" * 32,
            now=time.time,
            clock=time.monotonic,
        )
        self._taking = threading.Lock()

    def take(self, headers: Any, body: bytes) -> int:
        named = tuple((name.lower().encode(), value.encode()) for name, value in headers.items())
        with self._taking:
            self.bodies.append(body)
            return self.intake.take(Request("POST", "/r", "", body, named)).status


@contextmanager
def serving(site: Site) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-security-policy", POLICY)
            self.send_header("content-length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE)

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            self.send_response(site.take(self.headers, self.rfile.read(length)))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_each_frame_of_a_pages_own_is_counted_as_the_page() -> None:
    site = Site()
    with (
        serving(site) as port,
        sync_playwright() as playwright,
        chromium(playwright.chromium, [(f"{HOST}:80", port)], []) as browser,
    ):
        page = browser.new_page()
        page.goto(f"http://{HOST}/")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while site.intake.reports["counted"] < len(FRAMES) + 1:
            assert time.monotonic() < deadline, (site.intake.reports, site.bodies)
            page.wait_for_timeout(50)
    assert site.intake.reports == {
        "counted": len(FRAMES) + 1, "malformed": 0, "other_type": 0, "over_batch": 0,
    }  # fmt: skip
    seen = {(each.blocked, each.document) for each in site.store.latest}
    assert seen == {("https://evil.example", f"http://{HOST}"), ("inline", f"http://{HOST}")}
    reported = b"".join(site.bodies)
    assert all(f"evil.example/{frame}".encode() in reported for frame in FRAMES)
    documents = (b'"document-uri":"about"', b'"document-uri":"blob"', b'"document-uri":"data"')
    assert all(document in reported for document in documents)
