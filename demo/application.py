"""The sample application: a page of attacks, and answers that name the trusted headers it got."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from urllib.parse import parse_qs, urlsplit

from demo.attacks import Targets
from demo.shell import PREFIX, own_asset, shell_page
from sidecar.config.overrides import PROOF_HEADERS
from sidecar.headers.tenant import CSP_NONCE, TRUSTED

_MAX_NOTED = 1000
_MAX_CHUNK_LINE = 65_536
_SHOWN = frozenset({*TRUSTED, *PROOF_HEADERS})
NOWHERE = Targets("https://cdn.invalid", "https://foreign.invalid", "https://tenant.invalid")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "sample"
    sys_version = ""
    timeout = 30
    wbufsize = -1  # one packet a reply, not one for the head and one for the body

    @property
    def _application(self) -> "SampleApplication":
        return cast("_Server", self.server).application

    def do_POST(self) -> None:
        """Take a body, and answer with its length and digest beside the headers."""
        digest = hashlib.sha256()
        length = 0
        for part in self._body():
            digest.update(part)
            length += len(part)
        self._tell_headers({"bytes": length, "sha256": digest.hexdigest()})

    def do_GET(self) -> None:
        """Answer with the shell, or with the headers that came."""
        url = urlsplit(self.path)
        self._application.note(self.headers.get("host", ""), url.path)
        if not url.path.startswith(PREFIX):
            self._tell_headers({})
            return
        name = url.path.removeprefix(PREFIX)
        if name == "":
            only = parse_qs(url.query).get("only", [None])[0]
            page = shell_page(self._application.targets, self.headers.get(CSP_NONCE, ""), only)
        elif name == "status.json":
            self._reply("application/json", json.dumps(self._application.status()).encode())
            return
        else:
            found = own_asset(name)
            if found is None:
                self._reply("text/plain", b"not found\n", status=404)
                return
            page = found
        self._reply(page.content_type, page.body)

    def _body(self) -> Iterator[bytes]:
        """Read the request's body in parts, whole: what is left would be the next request."""
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            yield from self._exactly(int(self.headers.get("content-length", "0")))
            return
        while size := int(self.rfile.readline(_MAX_CHUNK_LINE).partition(b";")[0], 16):
            yield from self._exactly(size)
            self.rfile.readline(_MAX_CHUNK_LINE)
        while self.rfile.readline(_MAX_CHUNK_LINE).strip():
            pass  # trailers

    def _exactly(self, count: int) -> Iterator[bytes]:
        while count and (part := self.rfile.read(min(count, 65_536))):
            yield part
            count -= len(part)

    def _tell_headers(self, more: dict[str, object]) -> None:
        """Answer with every header whose name an application could take for a trusted one."""
        seen: dict[str, list[str]] = {}
        for name, value in self.headers.items():
            folded = "".join(byte if byte.isalnum() else "-" for byte in name.lower())
            if folded in _SHOWN:
                seen.setdefault(folded, []).append(value)
        body = json.dumps({"application": "sample", "seen": seen, **more}).encode()
        self._reply("application/json", body)

    def _reply(self, content_type: str, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        # A careless application: the edge puts this right.
        self.send_header("x-powered-by", "sample/1.0")
        self.send_header("content-security-policy", "default-src *")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    application: "SampleApplication"


class SampleApplication:
    """The application on a free loopback port, in a thread.

    ``hits`` names the attacks that reached their goal, ``count_reports`` tells how many
    violation reports the sidecar has: the page shows both.
    """

    def __init__(
        self,
        targets: Targets = NOWHERE,
        hits: Callable[[], Iterable[str]] = tuple,
        count_reports: Callable[[], int] = int,
    ) -> None:
        self.targets = targets
        self.requests: Counter[tuple[str, str]] = Counter()
        """GETs by host and path."""
        self._hits = hits
        self._count_reports = count_reports
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.application = self
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="application")
        self._thread.start()

    def status(self) -> dict[str, object]:
        """Return what the page shows beside the attacks themselves."""
        stolen = [path for (_, path) in self.requests if path.startswith(f"{PREFIX}steal/")]
        hits = {*self._hits(), *(path.rpartition("/")[2] for path in stolen)}
        return {"hits": sorted(hits), "reports": self._count_reports()}

    def note(self, host: str, path: str) -> None:
        """Count a GET, of as many hosts and paths as fit."""
        if (host, path) in self.requests or len(self.requests) < _MAX_NOTED:
            self.requests[host, path] += 1

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
