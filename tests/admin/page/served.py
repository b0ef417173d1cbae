"""A whole sidecar in a process of its own, and its page as a browser without a script reads it."""

import json
import os
import signal
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import grpc
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.openbao import SIDECAR_POLICY, OpenBao
from demo.process import ManagedProcess, ProcessFault, free_ports
from sidecar.tokens.jwk import thumbprint
from sidecar.transport.names import CHECK_METHOD
from tests.admin.page.test_html import Tags
from tests.authz.checks import check_request, read_answer
from tests.support.minting import AUDIENCE, ISSUER, Issuer
from tests.support.real import TokenFile
from tests.support.waiting import wait_until

CONFIG = """\
listen:
  authz: {{address: "unix:{folder}/authz", workers: 2}}
  sds: {{address: "unix:{folder}/sds"}}
  admin: {{address: "127.0.0.1:{port}"}}
  drain_seconds: 0.2
  drain_notice_seconds: 0
vault: {{address: "{vault}", timeout_seconds: 1, auth: {{method: token_file, path: {token}}}}}
tokens: {{issuers: [{{issuer: "{issuer}", audiences: ["{audience}"]}}]}}
keys: {{poll_seconds: 0.2}}
issuers: [{{type: vault_pki, name: pki, mount: pki, role: edge, share: false}}]
certificates: [{{name: edge, issuer: pki, common_name: localhost}}]
audit: {{to: {{sink: file, path: {folder}/log/audit.jsonl}}}}
routes: [{{name: all, path_prefix: /}}]
"""
ATTEMPTS, READY_SECONDS = 3, 60
KEY_PATH = "iam/jwt-signing-key"


class Page:
    """The page of the sidecar that listens at a port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"

    def send(
        self, method: str, path: str, body: str = "", **headers: str
    ) -> tuple[int, Mapping[str, str], str]:
        """Make one request; return the status, the headers and the body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body or None, named)
            answer: HTTPResponse = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def document(self, panel: str = "", query: str = "") -> dict[str, Any]:
        """Return the JSON twin of a view."""
        path = f"/page/{panel}.json" if panel else "/page.json"
        document: dict[str, Any] = json.loads(self.send("GET", path + query)[2])
        return document

    def parts(self) -> list[str]:
        """Return the parts of which something is wrong, what follows included."""
        found = self.document()["findings"]
        return [each["part"] for one in found for each in (one, *one["follows"])]

    def text(self, path: str = "/page") -> str:
        """Return what a page says, without its markup."""
        page = self.send("GET", path)[2]
        parser = Tags()
        parser.feed(page[page.index("<main") : page.index("</main>")])
        return parser.text

    def act(self, path: str, action: str, target: str = "") -> str:
        """Press a button of a page, as a browser without a script does; return what is said."""
        page = self.send("GET", path)[2]
        fields = [
            fields for fields in Forms.of(page)
            if (fields.get("action"), fields.get("target")) == (action, target)
        ]  # fmt: skip
        assert fields, f"{path} has no form for {action} {target}"
        status, headers, _ = self.send(
            "POST", "/page/do", urlencode(fields[0]),
            origin=self.origin, content_type="application/x-www-form-urlencoded",
        )  # fmt: skip
        assert status == 303
        return self.text(headers["location"])


class Forms(Tags):
    """Collects the hidden fields of each form."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append({})
        if tag == "input" and self.forms and found.get("type") == "hidden":
            self.forms[-1][found["name"]] = found["value"]

    @classmethod
    def of(cls, page: str) -> list[dict[str, str]]:
        """Return the forms of a page."""
        parser = cls()
        parser.feed(page)
        return parser.forms


class Served:
    """The sidecar, its Vault, and ways to break them."""

    def __init__(self, folder: Path, openbao: OpenBao) -> None:
        self.folder, self.openbao = folder, openbao
        self.issuer = Issuer.generate("key-1", name=ISSUER)
        form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        self.pem = self.issuer.private.private_bytes(*form).decode()
        self.kid = thumbprint(self.issuer.private.public_key())
        openbao.put_key(self.pem)
        openbao.enable_pki(["localhost"])
        self.token_file = TokenFile(folder / "vault-token")
        self.token_file.write(openbao.token_for(SIDECAR_POLICY))
        (folder / "log").mkdir()
        self.path = folder / "sidecar.yaml"
        for attempt in range(ATTEMPTS):
            try:
                self._start()
                break
            except ProcessFault:  # another test may have taken the port meanwhile
                self.process.stop()
                if attempt == ATTEMPTS - 1:
                    raise

    def _start(self) -> None:
        (self.port,) = free_ports(1)
        self.page = Page(self.port)
        self.path.write_text(self.config())
        command = [sys.executable, "-m", "sidecar", "serve", "--config", str(self.path)]
        self.process = ManagedProcess("the sidecar", command)
        self.process.wait_until(self.is_ready, READY_SECONDS)

    def config(self) -> str:
        return CONFIG.format(
            folder=self.folder, port=self.port, vault=self.openbao.address,
            token=self.token_file.path, issuer=ISSUER, audience=AUDIENCE,
        )  # fmt: skip

    def is_ready(self) -> bool:
        try:
            return self.page.send("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def worker_pid(self, number: int = 0) -> int:
        rows = self.page.document("workers")["tables"]["workers"]["rows"]
        return int(rows[number]["pid"] or 0)

    def kill_worker(self) -> None:
        """Kill a worker, and return once another process is in its place."""
        wait_until(self.worker_pid)
        os.kill(pid := self.worker_pid(), signal.SIGKILL)
        wait_until(lambda: self.worker_pid() not in {0, pid})

    def deny(self, path: str = "/api/things") -> None:
        """Have one request refused: it has no token."""
        with grpc.insecure_channel(f"unix:{self.folder}/authz-1") as channel:
            raw = channel.unary_unary(CHECK_METHOD)(check_request(path=path), timeout=5)
        assert not read_answer(raw).allowed

    def stop(self) -> None:
        self.process.stop()
