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
from tests.deploy.cluster.world import IMAGES, World, ask
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
    if cluster.kubectl("get", "namespace", "gateways", check=False).returncode:
        cluster.namespace("gateways")
    cluster.apply(*read_all(CHART.parent / "gateways/envoy-gateway.yaml"), *beside(world))
    of_the_gateway = "gateway.envoyproxy.io/owning-gateway-name=edge"
    gateway.wait_until(lambda: cluster.get(SYSTEM, "pods", "--selector", of_the_gateway) != [], 60)
    (made,) = cluster.pods(SYSTEM, of_the_gateway)
    world.let_in(made["spec"]["serviceAccountName"], SYSTEM)
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


def test_who_has_a_token_gets_through_with_his_tenant(world: World) -> None:
    status, headers, body = ask(world, PORT, authorization=f"Bearer {world.mint()}")
    assert (status, body["seen"]["x-tenant-id"]) == (200, [TENANT])
    assert headers["strict-transport-security"].startswith("max-age=")
    assert "default-src *" not in headers["content-security-policy"]


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        ({}, 401, "token_missing"),
        ({"authorization": "Bearer x.y.z"}, 401, "token_malformed"),
        ({"authorization": "Basic dTpw"}, 401, "token_missing"),
    ],
    ids=["no token", "no token at all", "another scheme"],
)
def test_who_has_none_is_answered_by_the_sidecar(
    sent: dict[str, str], status: int, reason: str, world: World
) -> None:
    answered, headers, body = ask(world, PORT, **sent)
    assert (answered, body["reason"]) == (status, reason)
    assert headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    "name", ["x-tenant-id", "X-Tenant-Id", "x-user-id", "x-roles", "x.tenant.id", "xxtenant-id"]
)
def test_no_client_forges_what_the_application_believes(name: str, world: World) -> None:
    _, _, body = ask(world, PORT, **{"authorization": f"Bearer {world.mint()}", name: "forged"})
    assert "forged" not in json.dumps(body)


def test_the_lint_finds_nothing_in_the_running_envoy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = tmp_path / "dump.json"
    dump.write_text(fetch_text(ENVOY_ADMIN, "/config_dump?include_eds"))
    assert main(["envoy", "lint", "--strict", str(dump)]) == 0, capsys.readouterr().out


def test_without_the_sidecar_nobody_gets_through(pod: RunningPod, world: World) -> None:
    """Last: it ends the sidecar."""
    pod.end("septem-sidecar")
    status, headers, _ = ask(world, PORT, authorization=f"Bearer {world.mint()}")
    assert status == 503
    assert headers["strict-transport-security"].startswith("max-age=")
