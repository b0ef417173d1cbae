"""Envoy Gateway itself, with the file of deploy/kubernetes/gateways: `make test-kubernetes`.

It makes Envoy's pod with the sidecar in it, which passes the standard `restricted`. The pod is run
(``tests.support.pods``), gets its configuration from Envoy Gateway over xDS, and is asked.
"""

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.process import ManagedProcess, fetch_status, fetch_text, free_ports
from sidecar.cli.main import main
from tests.deploy.kubernetes.world import IMAGES, World, ask
from tests.deploy.test_kubernetes import CHART
from tests.support.cluster import PROGRAMS, Cluster
from tests.support.minting import AUDIENCE, ISSUER, TENANT
from tests.support.pods import RunningPod
from tests.support.resources import Resource, read_all
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("cluster"),
    pytest.mark.usefixtures("pod"),
    pytest.mark.skipif(
        not (PROGRAMS / "envoy-gateway").exists(),
        reason="no envoy-gateway: make test-kubernetes, where Go is",
    ),
]
ROOT = Path(__file__).parents[3]
SYSTEM = "envoy-gateway-system"
APPLICATION = "application.gateways.svc.cluster.local"
HOSTS = [f"envoy-gateway.{SYSTEM}.svc.cluster.local", APPLICATION]
PORT, ENVOY_ADMIN = 10_443, 19_000
"""Where Envoy Gateway has Envoy listen for port 443, and Envoy's admin port."""
HEALTH = 8_081
"""Where Envoy Gateway answers probes."""
SETTINGS = {
    "apiVersion": "gateway.envoyproxy.io/v1alpha1",
    "kind": "EnvoyGateway",
    "gateway": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
    "provider": {
        "type": "Kubernetes",
        "kubernetes": {
            "leaderElection": {"disable": True},
            # It labels pods with their node's zone, by a webhook.
            "proxyTopologyInjector": {"disabled": True},
        },
    },
    "extensionApis": {"enableEnvoyPatchPolicy": True, "enableBackend": True},
    # Its metrics have the port of Envoy's, which is in another pod.
    "telemetry": {"metrics": {"prometheus": {"disable": True}}},
}
SIDECAR = {
    "listen": {
        "authz": {"address": "unix:/run/septem/authz.sock"},
        "probes": {"address": "0.0.0.0:9104"},
    },
    "tokens": {"issuers": [{"issuer": ISSUER, "audiences": [AUDIENCE]}]},
    "routes": [{"name": "application", "path_prefix": "/"}],
}  # fmt: skip


def sandboxed(cluster: Cluster, folder: Path, *arguments: str) -> list[str]:
    """Return the command of Envoy Gateway with its files where its image has them."""
    command = ["bwrap", "--die-with-parent", "--clearenv", "--dev", "/dev", "--proc", "/proc"]
    command += ["--tmpfs", "/tmp", "--ro-bind", "/etc", "/etc"]  # noqa: S108
    command += ["--ro-bind", str(PROGRAMS / "envoy-gateway"), "/envoy-gateway"]
    command += ["--ro-bind", str(folder / "config"), "/config"]
    command += ["--ro-bind", str(folder / "certs"), "/certs"]
    command += ["--ro-bind", str(cluster.kubeconfig), "/kubeconfig"]
    command += ["--setenv", "KUBECONFIG", "/kubeconfig", "--setenv", "HOME", "/tmp"]  # noqa: S108
    command += ["--setenv", "ENVOY_GATEWAY_NAMESPACE", SYSTEM]
    return [*command, "/envoy-gateway", *arguments]


@pytest.fixture(scope="module")
def gateway(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagedProcess]:
    """A running Envoy Gateway, with certificates that it made."""
    cluster, folder = world.cluster, tmp_path_factory.mktemp("envoy-gateway")
    (folder / "config").mkdir()
    (folder / "certs").mkdir()
    (port,) = free_ports(1)
    settings = {**SETTINGS, "admin": {"address": {"host": "127.0.0.1", "port": port}}}
    (folder / "config/envoy-gateway.yaml").write_text(yaml.safe_dump(settings))
    cluster.namespace(SYSTEM)
    subprocess.run(
        sandboxed(cluster, folder, "certgen", "--disable-topology-injector"),
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    for name, value in cluster.get(SYSTEM, "secret", "envoy-gateway")["data"].items():
        (folder / "certs" / name).write_bytes(base64.b64decode(value))
    command = sandboxed(cluster, folder, "server", "--config-path", "/config/envoy-gateway.yaml")
    with ManagedProcess("Envoy Gateway", command) as process:
        process.wait_until(lambda: fetch_status(HEALTH, "/readyz") == 200, 60)
        yield process


def beside(world: World) -> Iterator[Resource]:
    """Yield what the file needs beside it: an application, a route, a certificate, settings."""
    for each in read_all(ROOT / "tests/deploy/gateway_application.yaml"):
        if each["kind"] == "HTTPRoute":
            # An endpoint of a Service may not be on loopback; a name may resolve to it.
            each["spec"]["rules"][0]["backendRefs"] = [
                {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "application"}
            ]
        if each["kind"] not in {"Service", "Namespace"}:
            yield each
    endpoint = {"fqdn": {"hostname": APPLICATION, "port": world.application.port}}
    yield {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "Backend",
        "metadata": {"name": "application", "namespace": "gateways"},
        "spec": {"endpoints": [endpoint]},
    }  # fmt: skip
    issued = world.openbao.issue("app.example.com")
    yield {
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "edge-tls", "namespace": "gateways"},
        "stringData": {"tls.crt": issued["certificate"], "tls.key": issued["private_key"]},
    }  # fmt: skip
    vault = {
        "address": world.openbao.address,
        "auth": {
            "method": "kubernetes", "role": "septem-sidecar",
            "jwt_file": "/var/run/secrets/septem/token",
        },
    }  # fmt: skip
    yield {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "septem-sidecar", "namespace": SYSTEM},
        "data": {"sidecar.yaml": yaml.safe_dump({**SIDECAR, "vault": vault})},
    }  # fmt: skip


def conditions(cluster: Cluster) -> Mapping[str, Mapping[str, str]]:
    """Return what Envoy Gateway says of each of our policies."""
    said = {}
    for kind in ("securitypolicy", "clienttrafficpolicy", "envoypatchpolicy"):
        status: dict[str, Any] = cluster.get("gateways", kind, "septem").get("status", {})
        said[kind] = {
            each["type"]: each["status"]
            for ancestor in status.get("ancestors", ())
            for each in ancestor["conditions"]
        }
    return said


@pytest.fixture(scope="module")
def pod(
    gateway: ManagedProcess, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningPod]:
    """The pod that Envoy Gateway makes for the Gateway of the file, running."""
    cluster = world.cluster
    cluster.namespace("gateways")
    cluster.apply(*read_all(CHART.parent / "gateways/envoy-gateway.yaml"), *beside(world))
    of_the_gateway = "gateway.envoyproxy.io/owning-gateway-name=edge"
    gateway.wait_until(lambda: cluster.get(SYSTEM, "pods", "--selector", of_the_gateway) != [], 60)
    (made,) = cluster.pods(SYSTEM, of_the_gateway)
    settings = cluster.get(SYSTEM, "configmap", "septem-sidecar")["data"]["sidecar.yaml"]
    world.let_in(made["spec"]["serviceAccountName"], SYSTEM, settings)
    running = RunningPod(
        cluster, made, IMAGES, tmp_path_factory.mktemp("pod"), hosts=HOSTS,
        # It drains Envoy before the pod ends.
        without=["shutdown-manager"],
    )  # fmt: skip
    try:
        running.start()
        yield running
    finally:
        running.stop()


def test_it_accepts_every_policy(world: World) -> None:
    wait_until(
        lambda: conditions(world.cluster) == {
            "securitypolicy": {"Accepted": "True"},
            "clienttrafficpolicy": {"Accepted": "True"},
            "envoypatchpolicy": {"Accepted": "True", "Programmed": "True"},
        },
        explain=lambda: conditions(world.cluster),
    )  # fmt: skip


def with_token(world: World, **headers: str) -> dict[str, str]:
    return {"authorization": f"Bearer {world.mint()}", **headers}


def test_who_has_a_token_gets_through_with_his_tenant(world: World) -> None:
    status, headers, body = ask(world, PORT, with_token(world))
    assert (status, body["seen"]["x-tenant-id"]) == (200, [TENANT])
    assert headers["strict-transport-security"].startswith("max-age=")
    assert "default-src *" not in headers["content-security-policy"]
    assert not headers.keys() & {"server", "x-powered-by"}, "what the application runs on"


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ({}, "token_missing"),
        ({"authorization": "Bearer x.y.z"}, "token_malformed"),
        ({"authorization": "Basic dTpw"}, "token_scheme_unsupported"),
    ],
    ids=["no token", "no token at all", "another scheme"],
)
def test_who_has_none_is_answered_by_the_sidecar(
    sent: dict[str, str], reason: str, world: World
) -> None:
    status, headers, body = ask(world, PORT, sent)
    assert (status, body["reason"]) == (401, reason)
    assert headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    "name", ["x-tenant-id", "X-Tenant-Id", "x-user-id", "x-roles", "x.tenant.id", "x~tenant~id"]
)
def test_no_client_forges_what_the_application_believes(name: str, world: World) -> None:
    status, _, body = ask(world, PORT, with_token(world, **{name: "forged"}))
    assert (status, "forged" in json.dumps(body)) == (200, False)


@pytest.mark.parametrize(
    ("path", "sent", "refused"),
    [
        ("/orders", {"x_tenant_id": "forged"}, 400),
        ("/orders%2f..%2fadmin", {}, 400),
        ("/orders", {"connection": "upgrade, x-tenant-id", "upgrade": "websocket"}, 403),
    ],
    ids=["an underscore", "an encoded slash", "an upgrade that removes the tenant"],
)
def test_what_is_ambiguous_goes_no_further(
    path: str, sent: dict[str, str], refused: int, world: World
) -> None:
    status, headers, body = ask(world, PORT, with_token(world, **sent), path)
    assert status == refused, body
    assert headers["strict-transport-security"].startswith("max-age=")


def test_the_handshake_of_a_websocket_is_checked_and_reaches_the_application(world: World) -> None:
    """The application answers it as any other request; Envoy hands no body on then."""
    handshake = {
        "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    status, _, body = ask(world, PORT, handshake, "/socket")
    assert (status, body["reason"]) == (401, "token_missing")
    status, _, _ = ask(world, PORT, with_token(world, **handshake), "/socket")
    assert (status, world.application.requests["app.example.com", "/socket"]) == (200, 1)


def test_the_lint_finds_nothing_in_the_running_envoy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = tmp_path / "dump.json"
    dump.write_text(fetch_text(ENVOY_ADMIN, "/config_dump?include_eds"))
    assert main(["envoy", "lint", "--strict", str(dump)]) == 0, capsys.readouterr().out


def test_a_route_of_somebody_else_is_checked_too(world: World) -> None:
    """Even one that has a policy of its own, which takes the gateway's place there."""
    world.cluster.namespace("another-team")
    metadata = {"namespace": "another-team", "name": "theirs"}
    backend = {"endpoints": [{"fqdn": {"hostname": APPLICATION, "port": world.application.port}}]}
    reference = {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "theirs"}
    route = {
        "parentRefs": [{"name": "edge", "namespace": "gateways"}],
        "hostnames": ["app.example.com"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/theirs"}}],
                "filters": [
                    {
                        "type": "ResponseHeaderModifier",
                        "responseHeaderModifier": {"set": [{"name": "x-route", "value": "theirs"}]},
                    }
                ],
                "backendRefs": [reference],
            }
        ],
    }
    policy = {
        "targetRefs": [
            {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "theirs"}
        ],
        "cors": {"allowOrigins": ["https://theirs.example.com"]},
    }
    own = "gateway.envoyproxy.io/v1alpha1"
    world.cluster.apply(
        {"apiVersion": own, "kind": "Backend", "metadata": metadata, "spec": backend},
        {"apiVersion": own, "kind": "SecurityPolicy", "metadata": metadata, "spec": policy},
        {
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": metadata, "spec": route,
        },
    )  # fmt: skip

    def is_theirs() -> bool:
        _, headers, _ = ask(world, PORT, with_token(world), "/theirs/orders")
        return headers.get("x-route") == "theirs"

    wait_until(is_theirs, 30)
    status, _, body = ask(world, PORT, {}, "/theirs/orders")
    assert (status, body["reason"]) == (401, "token_missing")
    status, _, body = ask(world, PORT, with_token(world), "/theirs/orders")
    assert (status, body["seen"]["x-tenant-id"]) == (200, [TENANT])


def test_without_the_sidecar_nobody_gets_through(pod: RunningPod, world: World) -> None:
    """Last: it ends the sidecar."""
    pod.end("septem-sidecar")
    status, headers, _ = ask(world, PORT, with_token(world))
    assert status == 503
    assert headers["strict-transport-security"].startswith("max-age=")
