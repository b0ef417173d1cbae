"""The guides, pasted into a shell from the first to the last beside a Vault of one's own.

docs/connect-your-envoy.md comes first and its section Undo last. Between them, on the same
sidecar and Envoy: docs/rotate-a-key.md, docs/add-a-tenant.md, docs/shadow.md, docs/grpc.md,
docs/websocket.md, docs/incident.md and docs/revoke.md. What a page has the reader
write into a file is taken from the page's own blocks.
"""

import base64
import hashlib
import os
import re
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from demo.openbao import OpenBao
from demo.process import ManagedProcess, fetch_status, free_ports, listens
from tests.support.consoles import ROOT, Console, Step, steps_of

TEST = "tests/docs/test_connect_your_envoy.py"
CONNECT = "docs/connect-your-envoy.md"
BETWEEN = (
    "docs/rotate-a-key.md",
    "docs/add-a-tenant.md",
    "docs/shadow.md",
    "docs/grpc.md",
    "docs/websocket.md",
    "docs/incident.md",
    "docs/revoke.md",
)
READY_SECONDS = 60.0
FLAGS = re.MULTILINE | re.DOTALL
TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
LATE = ("grep ", "curl -s http://127.0.0.1:9102/metrics")
"""What is written after an answer has left: a reader who is quicker looks again."""


class Application(BaseHTTPRequestHandler):
    """Answers everything, and opens a websocket that it closes again."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        upgrade = self.headers.get("upgrade")
        self.send_response(HTTPStatus.SWITCHING_PROTOCOLS if upgrade else HTTPStatus.OK)
        if upgrade:
            key = self.headers["sec-websocket-key"].encode() + WEBSOCKET
            accept = base64.b64encode(hashlib.sha1(key, usedforsecurity=False).digest())
            self.send_header("upgrade", "websocket")
            self.send_header("connection", "Upgrade")
            self.send_header("sec-websocket-accept", accept.decode())
            self.send_header("sec-websocket-protocol", "chat")
            self.close_connection = True
        else:
            self.send_header("content-length", "0")
        self.end_headers()
        if upgrade:
            self.wfile.write(b"\x88\x00")  # a frame that closes it

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Keep the tests' output clean."""


class Reader:
    """Somebody who follows the pages: files in a folder, a Vault, two programs."""

    def __init__(self, folder: Path, exits: ExitStack) -> None:
        self.folder = folder
        self._exits = exits
        bao = OpenBao()
        exits.callback(bao.stop)
        authz, self.sds, self.admin, self.http, self.https, self.envoy_admin = free_ports(6)
        application = ThreadingHTTPServer(("127.0.0.1", 0), Application)
        thread = threading.Thread(target=application.serve_forever, daemon=True)
        thread.start()
        exits.callback(thread.join)
        exits.callback(application.server_close)
        exits.callback(application.shutdown)
        for name in ("jwt", "jwt2"):
            self._write_key(name)
        (folder / "operator-token").write_text(bao.client.token)
        self.environment = {
            **{name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ},
            "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
            "BAO_ADDR": bao.address,
            "BAO_TOKEN": bao.client.token,
        }
        envoys = (
            f"--application 127.0.0.1:{application.server_port} --http-port {self.http}"
            f" --https-port {self.https} --envoy-admin-port {self.envoy_admin}"
        )
        mine = f"--authz 127.0.0.1:{authz} --sds 127.0.0.1:{self.sds}"
        names = {
            "https://vault.example.com:8200": bao.address,
            "--host app.example.com": f"--host app.example.com {mine} --admin 127.0.0.1:"
            f"{self.admin} {envoys}",
            "envoy init sidecar.yaml": f"envoy init sidecar.yaml {envoys}",
            ":8443": f":{self.https}",
            "127.0.0.1:9102": f"127.0.0.1:{self.admin}",
            "127.0.0.1:9901": f"127.0.0.1:{self.envoy_admin}",
            "sidecar health": f"sidecar health --address 127.0.0.1:{self.admin}",
            "<kid>": "leaked-key",
        }
        values = {name: (lambda value=value: value) for name, value in names.items()}
        self.console = Console(folder, self.environment, values)
        self.envoy: ManagedProcess | None = None

    def _write_key(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / f"{name}.pem").write_bytes(private)
        (self.folder / f"{name}-public.pem").write_bytes(public)

    def follow(self, step: Step) -> None:
        """Do what a step says, and what the page says around it."""
        if step.command.endswith(" &"):
            self._start(step.command.removesuffix(" &"))
            return
        self.console.run(step, until=step.command.startswith(LATE))
        if step.command.startswith("sidecar envoy init"):
            self.restart_envoy()

    def _start(self, command: str) -> ManagedProcess:
        # Several Envoys of one machine: they share memory under an id, 0 if none is said.
        own = command.replace("-c envoy.yaml", "-c envoy.yaml --use-dynamic-base-id")
        words = f"cd {self.folder} && exec {own}"
        process = ManagedProcess(command, ["bash", "-c", words], self.environment)
        self._exits.callback(process.stop)
        if command.startswith("envoy"):
            self.envoy = process
            process.wait_until(lambda: listens(self.https), READY_SECONDS)
        else:
            process.wait_until(self._is_ready, READY_SECONDS)
        return process

    def _is_ready(self) -> bool:
        return fetch_status(self.admin, "/readyz") == HTTPStatus.OK

    def restart_envoy(self) -> None:
        """Restart Envoy with the file as it is now."""
        if self.envoy is None:
            raise RuntimeError("it was not started yet")
        self.envoy.stop()
        self._start("envoy -c envoy.yaml > envoy.log 2>&1")

    def write_settings(self, page: str) -> None:
        """Add what the page's first block of YAML has to the sidecar's configuration."""
        path = self.folder / "sidecar.yaml"
        path.write_text(with_block(path.read_text(), blocks(page)[0]))

    def request(self, path: str, credential: str = "$(cat token.txt)") -> None:
        """Send a request with the reader's token, or another."""
        done = self.console.execute(
            f"curl -sS -o answer --cacert ca.pem --resolve app.example.com:{self.https}:127.0.0.1"
            f' -H "Authorization: Bearer {credential}" https://app.example.com:{self.https}{path}'
        )
        assert done.returncode == 0, done.stdout


def blocks(page: str) -> list[str]:
    """Return the blocks of YAML of a page."""
    return [
        "".join(line.removeprefix(found[1]) for line in found[2].splitlines(keepends=True))
        for found in re.finditer(r"^( *)```yaml\n(.*?)^ *```$", page_text(page), FLAGS)
    ]


def with_block(text: str, block: str) -> str:
    """Return settings with those of a block, whose issuers of certificates come beside others."""
    settings, more = yaml.safe_load(text), yaml.safe_load(block)
    there = [each for each in settings["issuers"] if each not in more.get("issuers", ())]
    issuers = [*there, *more.get("issuers", ())]
    return yaml.safe_dump({**settings, **more, "issuers": issuers}, sort_keys=False)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with ExitStack() as exits:
        yield Reader(tmp_path_factory.mktemp("reader"), exits)


def steps(page: str, *, undo: bool) -> list[Step]:
    """Return a page's steps; those of the first page's Undo come at the very end."""
    return [step for step in steps_of(page, TEST) if undo is (step.section == "Undo")]


def test_connect(reader: Reader) -> None:
    for step in steps(CONNECT, undo=False):
        reader.follow(step)


@pytest.mark.parametrize("page", BETWEEN)
def test_a_guide(page: str, reader: Reader) -> None:
    followed = steps_of(page, TEST)
    assert followed
    prepare(page, reader)
    for step in followed:
        if page == "docs/shadow.md" and "/metrics" in step.command:
            reader.request("/reports")  # the token has no role
        if page == "docs/incident.md" and "/metrics" in step.command:
            reader.request("/", credential="none")
        reader.follow(step)


def prepare(page: str, reader: Reader) -> None:
    """Write the files that the page has its reader write."""
    envoy = reader.folder / "envoy.yaml"
    if page in ("docs/add-a-tenant.md", "docs/shadow.md", "docs/grpc.md", "docs/websocket.md"):
        reader.write_settings(page)
    if page == "docs/grpc.md":
        options = blocks(page)[1]
        assert options.startswith("# clusters[name: application]")
        config: Any = yaml.safe_load(envoy.read_text())
        cluster = next(
            each for each in config["static_resources"]["clusters"] if each["name"] == "application"
        )
        cluster |= yaml.safe_load(options)
        envoy.write_text(yaml.safe_dump(config, sort_keys=False))
    if page == "docs/revoke.md":
        reader.write_settings(page)
        for command in (
            "sidecar vault policy --config sidecar.yaml | bao policy write sidecar -",
            "sidecar config reload --config sidecar.yaml",
        ):
            assert reader.console.execute(command).returncode == 0


def page_text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def test_a_tenant_of_the_configuration(reader: Reader) -> None:
    of_registry, of_file = blocks("docs/add-a-tenant.md")
    assert "on_demand" in of_registry
    settings = reader.folder / "sidecar.yaml"
    (reader.folder / "file.yaml").write_text(with_block(settings.read_text(), of_file))
    done = reader.console.execute("sidecar config check file.yaml")
    assert (done.returncode, done.stdout[-12:]) == (0, ", 1 tenant)\n"), done.stdout


def test_undo(reader: Reader) -> None:
    followed = steps(CONNECT, undo=True)
    assert [step.command.split()[1] for step in followed] == ["policy", "secrets", "kv"]
    for step in followed:
        reader.follow(step)
