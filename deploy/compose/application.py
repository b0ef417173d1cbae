"""The application behind the edge: answers with the trusted headers that it got.

Python's own library and nothing else. Usage: application.py PORT
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TRUSTED = ("x-tenant-id", "x-user-id", "x-roles", "x-token-id")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        """Answer with what the edge says of the client."""
        seen = {name: self.headers[name] for name in TRUSTED if name in self.headers}
        body = json.dumps({"path": self.path, "seen": seen}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing: the edge has an access log."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[1])), _Handler).serve_forever()
