"""The sample application: says which of the trusted headers reached it."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sidecar.headers.tenant import TRUSTED


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "sample"
    sys_version = ""
    timeout = 30
    wbufsize = -1  # one packet a reply, not one for the head and one for the body

    def do_POST(self) -> None:
        """Take a body, and answer with its length and digest beside the headers."""
        length = int(self.headers.get("content-length", "0"))
        digest = hashlib.sha256()
        left = length
        while left and (chunk := self.rfile.read(min(left, 65_536))):
            digest.update(chunk)
            left -= len(chunk)
        self._tell_headers({"bytes": length - left, "sha256": digest.hexdigest()})

    def do_GET(self) -> None:
        """Answer with the headers that came."""
        self._tell_headers({})

    def _tell_headers(self, more: dict[str, object]) -> None:
        """Answer with every header whose name an application could take for a trusted one."""
        seen: dict[str, list[str]] = {}
        for name, value in self.headers.items():
            folded = name.lower().replace("_", "-")
            if folded in TRUSTED:
                seen.setdefault(folded, []).append(value)
        body = json.dumps({"application": "sample", "seen": seen, **more}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        # A careless application: the edge puts this right.
        self.send_header("x-powered-by", "sample/1.0")
        self.send_header("content-security-policy", "default-src *")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Print nothing."""


class SampleApplication:
    """The application on a free loopback port, in a thread."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="application")
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
