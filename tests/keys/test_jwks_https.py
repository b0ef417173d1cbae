"""A JWK Set over HTTPS, from a real TLS server."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.keys.jwks_https import JwksKeySource
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.refresher import KeyRefresher
from tests.keys.test_sources import jwk
from tests.workload.x509.test_material import CA, KEY, SUBJECT, pem


class Publisher:
    """Publishes a JWK Set over TLS, and misbehaves when told to."""

    def __init__(self, folder: Path) -> None:
        self.body = json.dumps({"keys": [jwk(kid="a")]}).encode()
        self.status = 200
        self.delay_seconds = 0.0
        self.asked: list[str | None] = []
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.asked.append(self.headers["If-None-Match"])
                time.sleep(publisher.delay_seconds)
                etag = f'"{hash(publisher.body)}"'
                status = publisher.status
                if status == 200 and self.headers["If-None-Match"] == etag:
                    status = 304
                self.send_response(status)
                self.send_header("ETag", etag)
                self.send_header("Location", "https://127.0.0.1:1/")
                body = b"" if status == 304 else publisher.body
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        (folder / "cert.pem").write_text(pem(CA.sign(KEY, SUBJECT, ["localhost"]), CA.root))
        form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        (folder / "key.pem").write_bytes(KEY.private_bytes(*form))
        (folder / "ca.pem").write_text(pem(CA.root))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.ca_file = str(folder / "ca.pem")

    def source(self, *, trusted: bool = True) -> JwksKeySource:
        url = f"https://localhost:{self.server.server_address[1]}/jwks.json"
        ca_file = self.ca_file if trusted else None
        settings = model.JwksKeys(url=url, ca_file=ca_file, timeout_seconds=0.5)
        return JwksKeySource(settings, "https://idp", clock=monotonic_seconds)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    running = Publisher(tmp_path)
    yield running
    running.stop()


async def test_keys_are_fetched_and_an_unchanged_set_is_not_sent_again(
    publisher: Publisher,
) -> None:
    source = publisher.source()
    assert [(key.kid, key.issuer) for key in (await source.fetch()).keys] == [("a", "https://idp")]
    assert [key.kid for key in (await source.fetch()).keys] == ["a"]
    publisher.body = json.dumps({"keys": [jwk(kid="b")]}).encode()
    assert [key.kid for key in (await source.fetch()).keys] == ["b"]
    assert publisher.asked[0] is None
    assert publisher.asked[1] is not None
    source.close()


BAD = [
    ("gone", {"status": 503}, "answered 503"),
    ("a redirect", {"status": 302}, "answered 302"),
    ("not found", {"status": 404}, "answered 404"),
    ("garbage", {"body": b"<html>"}, "neither PEM nor a JWK"),
    ("no key of ours", {"body": b'{"keys":[]}'}, "no key for ES256"),
    ("not UTF-8", {"body": b"\xff\xfe"}, "not UTF-8"),
    ("too large", {"body": b"{" + b" " * 1_100_000}, "ContentDecodingError"),
    ("slow", {"delay_seconds": 1.0}, "Timeout"),
]


@pytest.mark.parametrize(("changes", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
async def test_what_goes_wrong_is_named(
    publisher: Publisher, changes: dict[str, object], said: str
) -> None:
    for name, value in changes.items():
        setattr(publisher, name, value)
    source = publisher.source()
    with pytest.raises(Fault, match=said) as fault:
        await source.fetch()
    assert "https://localhost" in str(fault.value)
    source.close()


async def test_tls_is_verified(publisher: Publisher) -> None:
    source = publisher.source(trusted=False)
    with pytest.raises(Fault, match="TLS fails"):
        await source.fetch()
    source.close()


def absent(ca_file: Path) -> None:
    ca_file.unlink()


def not_pem(ca_file: Path) -> None:
    ca_file.write_text("not PEM")


def empty(ca_file: Path) -> None:
    ca_file.write_text("")


def another_ca(ca_file: Path) -> None:
    form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    ca_file.write_bytes(KEY.public_key().public_bytes(*form))


CA_FILES = [
    (absent, "No such file or directory"),
    (not_pem, "has no PEM"),
    (empty, "has no PEM"),
    (another_ca, "TLS fails"),
]


@pytest.mark.parametrize(("harm", "said"), CA_FILES, ids=[row[0].__name__ for row in CA_FILES])
async def test_a_ca_file_that_is_of_no_use_is_an_outage_of_this_source(
    publisher: Publisher, harm: Callable[[Path], None], said: str
) -> None:
    """Its keys stay; the sentence names the file; with the file the outage ends."""
    ca_file = Path(publisher.ca_file)
    good = ca_file.read_text()
    states: list[str] = []
    source = publisher.source()
    refresher = KeyRefresher(
        [source],
        model.Keys(poll_seconds=0.1),
        token_seconds={source.issuer: 930},
        clock=monotonic_seconds,
        now=wall_seconds,
        jitter=lambda: 0.0,
        publish=lambda _view: None,
        on_state=lambda before, after, _why: states.append(f"{before} {after}"),
    )
    await refresher.load()
    harm(ca_file)
    source._client.reconnect()  # as after the publisher's restart
    for _ in range(2):
        assert await refresher.refresh() is KeyState.OUTAGE
    assert [key.kid for key in refresher.view.ring] == ["a"]
    assert said in refresher.statuses[0].status.problem
    assert said == "TLS fails" or str(ca_file) in refresher.statuses[0].status.problem
    ca_file.write_text(good)
    source._client.reconnect()
    assert await refresher.refresh() is KeyState.ACTIVE
    assert states == ["init active", "active outage", "outage active"]
    source.close()
