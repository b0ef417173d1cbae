"""Identity providers of other people's making, and the tokens that they issue.

oidc-provider (npm) is installed by ``tools/get-applications``. Keycloak and Hydra are by
``tools/get-idps``, where Java and Go are. What is missing is skipped, with the reason.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from signal import SIGHUP
from typing import Any, Self

import pytest
import requests

from demo.process import ManagedProcess, fetch_status, free_ports
from tests.support.publisher import certify

HERE = Path(__file__).parent
INSTALLED = HERE.parents[1] / ".venv" / "applications"
IDPS = HERE.parents[1] / ".venv" / "idps"
SECONDS = 30.0
START_SECONDS = 240.0
"""Of Keycloak, which makes its database and its realm; twenty seconds on idle cores."""
AUDIENCE = "https://api.septemcore.com"
SECRET = "secret-of-a-test"


def installed(path: Path, how: str) -> Path:
    """Return a file of an installation; where it is missing, skip, or fail where CI is set."""
    if not path.exists():
        why = f"not installed here: {how}"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return path


def opted_in(name: str) -> Path:
    """Return what ``make test-idps`` has installed; other runs skip it."""
    if os.environ.get("SEPTEM_TEST_IDPS") != "1":
        pytest.skip("it takes minutes: make test-idps")
    found = IDPS / name
    if not found.exists():
        pytest.skip(f"not installed here: tools/get-idps says what {name} needs")
    return found


class OidcProvider:
    """A running oidc-provider, over TLS. A context manager.

    ``clients`` are claims by client id, which each client's tokens get.
    """

    def __init__(
        self, folder: Path, kids: Sequence[str], clients: Mapping[str, Mapping[str, Any]]
    ) -> None:
        how = "tools/get-applications"
        self._node = installed(INSTALLED / "node", how)
        modules = installed(INSTALLED / "idp" / "node_modules", how)
        folder.mkdir(parents=True, exist_ok=True)
        self._program = folder / "issuer.mjs"
        self._program.write_text((HERE / "programs" / "issuer.mjs").read_text())
        (folder / "node_modules").symlink_to(modules.resolve())
        self._plan = folder / "plan.json"
        self._serial = 0
        (self.port,) = free_ports(1)
        self.ca_file, _ = certify(folder)
        self.issuer = f"https://localhost:{self.port}"
        self._settings = {
            "issuer": self.issuer,
            "port": self.port,
            "key": str(folder / "key.pem"),
            "cert": str(folder / "cert.pem"),
            "clients": clients,
        }
        self._write(kids)

    def __enter__(self) -> Self:
        command = [str(self._node), str(self._program), str(self._plan)]
        self._process = ManagedProcess("oidc-provider", command)
        try:
            self._wait()
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def publish(self, kids: Sequence[str]) -> None:
        """Publish these keys from now on; of several of one algorithm the first signs."""
        self._write(kids)
        self._process.signal(SIGHUP)
        self._wait()

    def token(self, client: str, algorithm: str) -> str:
        """Log in by client credentials; return the access token."""
        data = {
            "grant_type": "client_credentials",
            "resource": f"{AUDIENCE}?alg={algorithm}",
            "scope": "api:read",
        }
        return _token(f"{self.issuer}/token", client, data, self.ca_file)

    def _write(self, kids: Sequence[str]) -> None:
        self._serial += 1
        self._plan.write_text(
            json.dumps({**self._settings, "kids": list(kids), "serial": self._serial})
        )

    def _wait(self) -> None:
        line = f"serial {self._serial}"
        self._process.wait_until(lambda: line in self._process.lines, SECONDS)


class Hydra:
    """A running Ory Hydra, with everything in memory, on loopback. A context manager."""

    def __init__(self) -> None:
        program = opted_in("hydra")
        public, self._admin = free_ports(2)
        self.issuer = f"http://127.0.0.1:{public}/"
        settings = {
            "DSN": "memory",
            "SECRETS_SYSTEM": "a-secret-of-a-test-of-32-letters",
            "URLS_SELF_ISSUER": self.issuer,
            "STRATEGIES_ACCESS_TOKEN": "jwt",
            "SERVE_PUBLIC_HOST": "127.0.0.1",
            "SERVE_PUBLIC_PORT": str(public),
            "SERVE_ADMIN_HOST": "127.0.0.1",
            "SERVE_ADMIN_PORT": str(self._admin),
        }
        self._public = public
        self._command = [str(program), "serve", "all", "--dev"], {**os.environ, **settings}

    def __enter__(self) -> Self:
        self._process = ManagedProcess("Hydra", *self._command)
        try:
            self._process.wait_until(
                lambda: fetch_status(self._public, "/health/ready") == HTTPStatus.OK, SECONDS
            )
            self._add_client()
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def token(self) -> str:
        """Log in by client credentials; return the access token."""
        data = {"grant_type": "client_credentials", "scope": "api:read", "audience": AUDIENCE}
        return _token(f"{self.issuer}oauth2/token", "svc-acme", data)

    def _add_client(self) -> None:
        answer = requests.post(
            f"http://127.0.0.1:{self._admin}/admin/clients",
            json={
                "client_id": "svc-acme",
                "client_secret": SECRET,
                "grant_types": ["client_credentials"],
                "scope": "api:read",
                "audience": [AUDIENCE],
                "token_endpoint_auth_method": "client_secret_basic",
            },
            timeout=SECONDS,
        )
        assert answer.status_code == HTTPStatus.CREATED, answer.text


class Keycloak:
    """A running Keycloak with the realm of ``programs/keycloak-realm.json``. A context manager."""

    def __init__(self, folder: Path) -> None:
        home = opted_in("keycloak")
        port, management = free_ports(2)
        self._port = port
        self.issuer = f"http://127.0.0.1:{port}/realms/septem"
        # Of its own: a start writes into it.
        copy = folder / "keycloak"
        shutil.copytree(home, copy, symlinks=True)
        imported = copy / "data" / "import"
        imported.mkdir(parents=True)
        shutil.copy(HERE / "programs" / "keycloak-realm.json", imported / "septem-realm.json")
        self._command = [
            str(copy / "bin" / "kc.sh"),
            "start",
            "--optimized",
            "--http-enabled=true",
            "--hostname-strict=false",
            "--http-host=127.0.0.1",
            f"--http-port={port}",
            f"--http-management-port={management}",
            "--import-realm",
        ]

    def __enter__(self) -> Self:
        self._process = ManagedProcess("Keycloak", self._command)
        try:
            self._process.wait_until(
                lambda: fetch_status(self._port, "/realms/septem") == HTTPStatus.OK, START_SECONDS
            )
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop()

    def token(self, client: str = "svc-acme") -> str:
        """Log in by client credentials; return the access token."""
        url = f"{self.issuer}/protocol/openid-connect/token"
        return _token(url, client, {"grant_type": "client_credentials"})


def _token(url: str, client: str, data: Mapping[str, str], ca_file: str | None = None) -> str:
    answer = requests.post(
        url, auth=(client, SECRET), data=data, timeout=SECONDS, verify=ca_file or True
    )
    assert answer.status_code == HTTPStatus.OK, answer.text
    return str(answer.json()["access_token"])
