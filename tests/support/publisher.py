"""An issuer's web server, over TLS or in the clear, whose pages a test sets."""

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple, Self

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.workload.x509.test_material import CA, KEY, SUBJECT, pem


class Page(NamedTuple):
    """What is answered at one path. ``trickle`` writes the body, and decides how."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    trickle: Callable[[Callable[[bytes], object]], object] | None = None


class Asked(NamedTuple):
    """One request: its path with its query, and its headers by name in lower case."""

    path: str
    headers: dict[str, str]


class PublisherServer:
    """A context manager. ``pages`` are by path; ``asked`` are the requests, oldest first."""

    def __init__(self, folder: Path, *, tls: bool = True) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                publisher.asked.append(Asked(self.path, headers))
                page = publisher.pages.get(self.path, Page(status=404))
                etag = dict(page.headers).get("ETag")
                if etag is not None and headers.get("if-none-match") == etag:
                    page = page._replace(status=304, body=b"")
                self.send_response(page.status)
                for name, value in page.headers:
                    self.send_header(name, value)
                if page.trickle is None:
                    self.send_header("Content-Length", str(len(page.body)))
                    self.end_headers()
                    self.wfile.write(page.body)
                    return
                self.send_header("Connection", "close")
                self.end_headers()
                page.trickle(self.wfile.write)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.ca_file: str | None = None
        scheme = "http"
        if tls:
            self.ca_file, context = certify(folder)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            scheme = "https"
        self.origin = f"{scheme}://localhost:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def forget(self) -> None:
        """Have no page, and no request, any more."""
        self.pages.clear()
        self.asked.clear()

    @property
    def paths(self) -> list[str]:
        """The paths that were asked for."""
        return [each.path for each in self.asked]


def certify(folder: Path) -> tuple[str, ssl.SSLContext]:
    """Write cert.pem, of localhost, and key.pem; return the path of the CA, and a context."""
    (folder / "cert.pem").write_text(pem(CA.sign(KEY, SUBJECT, ["localhost"]), CA.root))
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    (folder / "key.pem").write_bytes(KEY.private_bytes(*form))
    (folder / "ca.pem").write_text(pem(CA.root))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return str(folder / "ca.pem"), context
