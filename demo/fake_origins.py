"""Other hosts on loopback, over TLS: the CDN, and the attacker's, which notes all it gets."""

import base64
import hashlib
import os
import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from demo.shell import Page, asset

_PIXEL = Page("image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>')
_WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 §1.3."""

Answer = Callable[[str], Page]
"""From a path to what is served there."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "origin"
    sys_version = ""
    timeout = 10

    def do_GET(self) -> None:
        """Note the path, then answer; a WebSocket is opened and closed."""
        self._note()
        if self.headers.get("upgrade", "").lower() == "websocket":
            self._switch()
            return
        page = cast("_Server", self.server).answer(self.path)
        self.send_response(200)
        self.send_header("content-type", page.content_type)
        self.send_header("content-length", str(len(page.body)))
        # Whoever asks may have it: a CDN's files are public, and an attacker hides nothing.
        self.send_header("access-control-allow-origin", "*")
        self.send_header("cross-origin-resource-policy", "cross-origin")
        self.end_headers()
        self.wfile.write(page.body)

    def do_POST(self) -> None:
        """Take a body and do the same."""
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.do_GET()

    def _note(self) -> None:
        cast("_Server", self.server).paths.append(self.path)

    def _switch(self) -> None:
        key = self.headers.get("sec-websocket-key", "") + _WEBSOCKET_GUID
        accept = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest())
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "Upgrade")
        self.send_header("sec-websocket-accept", accept.decode())
        self.end_headers()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    answer: Answer
    paths: list[str]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that leave in the middle of a handshake."""


class FakeOrigin:
    """One host on a free loopback port, in a thread. ``paths`` is everything it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.paths: list[str] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.answer = answer
        self._server.paths = self.paths
        self.port = self._server.server_address[1]
        self._thread: threading.Thread | None = None

    def start(self, context: ssl.SSLContext) -> None:
        """Serve over TLS. Handshakes happen in the thread of their connection."""
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, name="fake-origin")
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def cdn_answer(_path: str) -> Page:
    """Serve the module, whatever is asked for."""
    return asset("module.js")


def attacker_answer(front_page: Callable[[], Page], path: str) -> Page:
    """Serve the attacker's page, its scripts, and something for every theft."""
    if path == "/":
        return front_page()
    if path.startswith("/evil/"):
        return Page("text/javascript", f'septem.land("{attack_of(path)}");'.encode())
    return _PIXEL


def attack_of(path: str) -> str:
    """Return the name of the attack that a path of the attacker's belongs to."""
    return path.split("/")[2].removesuffix(".js") if path.count("/") > 1 else ""


def server_context(issued: Mapping[str, Any]) -> ssl.SSLContext:
    """Return TLS with a certificate that Vault's PKI issued; its key touches no disk."""
    chain = [issued["certificate"], *(issued.get("ca_chain") or [issued["issuing_ca"]])]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    descriptor = os.memfd_create("tls")
    try:
        pem = "\n".join([issued["private_key"], *chain]) + "\n"
        os.write(descriptor, pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context
