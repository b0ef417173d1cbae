"""A CA that was asked over TLS never leads to what is not (RFC 8555 §6.1)."""

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from acme import messages
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sidecar.certificates.issuers.acme.client import AccountKeyMaterial, AcmeClient
from sidecar.certificates.issuers.acme.faults import AcmeFault
from tests.support.authorities import Ca, pem

DIRECTORY = ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")
LED_AWAY = "refers to a URL that is not"


class Server(ThreadingHTTPServer):
    """Answers as a CA would, and keeps what it was asked."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.places: dict[str, str] = {}
        """Where the directory says that things are."""
        self.redirected_to = ""
        self.authorization = ""
        self.certificate = ""
        self.scheme = "http"
        if tls is not None:
            self.scheme = "https"
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def url(self, path: str) -> str:
        return f"{self.scheme}://localhost:{self.server_address[1]}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self.reply(200, b"")

    def do_GET(self) -> None:
        places = {name: self.server.url(name) for name in DIRECTORY} | self.server.places
        self.reply(200, json.dumps(places).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        path = self.path[1:]
        if path == "newOrder":
            body = {
                "status": "pending", "finalize": self.server.url("finalize"),
                "identifiers": [{"type": "dns", "value": "a.example"}],
                "authorizations": [self.server.authorization],
            }  # fmt: skip
            self.reply(201, json.dumps(body).encode())
        elif path == "order":
            body = {
                "status": "valid", "finalize": self.server.url("finalize"), "authorizations": [],
                "identifiers": [], "certificate": self.server.certificate,
            }  # fmt: skip
            self.reply(200, json.dumps(body).encode())
        else:
            self.reply(201, json.dumps({"status": "valid"}).encode())

    def reply(self, status: int, body: bytes) -> None:
        self.server.asked.append(self.path)
        redirected = self.server.redirected_to
        self.send_response(307 if redirected else status)
        if redirected:
            self.send_header("location", redirected)
        else:
            self.send_header("location", self.server.url("account"))
        self.send_header("replay-nonce", "bm9uY2U")
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Setting:
    """A CA over TLS, a server without it, and a client of the first."""

    def __init__(self, secure: Server, plain: Server, ca_file: Path) -> None:
        self.secure, self.plain, self.ca_file = secure, plain, ca_file
        self.key = ec.generate_private_key(ec.SECP256R1())

    def client(self, directory: str) -> AcmeClient:
        key = AccountKeyMaterial(self.key)
        return AcmeClient(directory, key, ca_file=str(self.ca_file), timeout_seconds=10)

    def opened(self) -> AcmeClient:
        client = self.client(self.secure.url("dir"))
        client.open(None, None, ())
        return client


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    ca = Ca("an ACME CA")
    certificate, key = ca.leaf(dns_names=["localhost"])
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    (tmp_path / "server.pem").write_text(pem(certificate) + private)
    (tmp_path / "ca.pem").write_text(pem(ca.certificate))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem")
    with serving(Server(tls)) as secure, serving(Server(None)) as plain:
        yield Setting(secure, plain, tmp_path / "ca.pem")


@pytest.mark.parametrize("place", ["newNonce", "newAccount"])
def test_a_directory_that_leads_away(setting: Setting, place: str) -> None:
    setting.secure.places[place] = setting.plain.url(place)
    with pytest.raises(AcmeFault, match=LED_AWAY):
        setting.opened()
    assert setting.plain.asked == []


def test_an_order_and_an_authorization_that_lead_away(setting: Setting) -> None:
    client = setting.opened()
    setting.secure.authorization = setting.plain.url("authorization")
    with pytest.raises(AcmeFault, match=LED_AWAY):
        client.new_order("", ("a.example",), None, None)
    with pytest.raises(AcmeFault, match=LED_AWAY):
        client.poll(setting.plain.url("authorization"))
    assert setting.plain.asked == []


def test_a_certificate_that_leads_away(setting: Setting) -> None:
    client = setting.opened()
    setting.secure.certificate = setting.plain.url("certificate")
    order = messages.OrderResource(
        body=messages.Order(), uri=setting.secure.url("order"), csr_pem=b"", authorizations=[]
    )
    with pytest.raises(AcmeFault, match=LED_AWAY):
        client.poll_order(order)
    with pytest.raises(AcmeFault, match=LED_AWAY):
        client.poll_order(order.update(uri=setting.plain.url("order")))
    assert setting.plain.asked == []


def test_a_redirect_is_not_followed(setting: Setting) -> None:
    setting.secure.redirected_to = setting.plain.url("dir")
    with contextlib.suppress(AcmeFault):
        setting.opened()
    assert setting.secure.asked
    assert setting.plain.asked == []


def test_a_ca_without_tls_was_chosen_by_who_configured_it(setting: Setting) -> None:
    """OpenBao inside a cluster; the rule is of what leads away, not of http."""
    setting.client(setting.plain.url("dir")).open(None, None, ())
    assert "/newAccount" in setting.plain.asked
