"""A real sidecar and a real Envoy before one application, for tokens of a real issuer."""

import json
import sys
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import yaml

from demo.process import ManagedProcess, fetch_status, fetch_text, free_ports
from sidecar.cli.admin_client import request_admin
from tests.applications.edge import Edge, Reply
from tests.applications.servers import Applications

APPLICATION = "wsgiref"
SECONDS = 30.0


class IssuerEdge:
    """The shipped edge, and behind it what tells the headers that it gets. A context manager.

    ``issuers`` is the setting of that name in ``tokens``, ``required`` what the route demands.
    """

    def __init__(self, issuers: list[dict[str, Any]], folder: Path, **required: Any) -> None:
        self._folder = folder
        self._exits = ExitStack()
        authz, self.admin_port = free_ports(2)
        self._authz = authz
        token = folder / "vault-token"
        token.write_text("unused\n")
        token.chmod(0o600)
        self.settings: dict[str, Any] = {
            "listen": {
                "authz": {"address": f"127.0.0.1:{authz}"},
                "admin": {"address": f"127.0.0.1:{self.admin_port}"},
            },
            "vault": {
                "address": "http://127.0.0.1:1",
                "auth": {"method": "token_file", "path": str(token)},
            },
            "tokens": {"issuers": issuers},
            "routes": [{"name": "all", "path_prefix": "/", "auth": "required", **required}],
        }
        self.config = folder / "sidecar.yaml"
        self.config.write_text(yaml.safe_dump(self.settings, sort_keys=False))

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            command = [sys.executable, "-m", "sidecar", "serve", "--config", str(self.config)]
            self.sidecar = exits.enter_context(ManagedProcess("sidecar", command))
            self.sidecar.wait_until(
                lambda: fetch_status(self.admin_port, "/readyz") == HTTPStatus.OK, SECONDS
            )
            applications = exits.enter_context(Applications(self._folder))
            running = [applications.get(APPLICATION)]
            self._edge = exits.enter_context(
                Edge("", running, self._folder, authz_port=self._authz)
            )
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def ask(self, token: str) -> Reply:
        """Send one request with a token."""
        return self._edge.ask(APPLICATION, "/", [("authorization", f"Bearer {token}")])

    def refresh_keys(self) -> None:
        """Have the sidecar read the issuer's keys now."""
        status, answer = request_admin(f"127.0.0.1:{self.admin_port}", "POST", "/keys/refresh")
        assert status == HTTPStatus.OK, answer

    def keys(self) -> dict[str, Any]:
        """Return what the sidecar says of its keys."""
        document: dict[str, Any] = json.loads(fetch_text(self.admin_port, "/keys"))
        return document
