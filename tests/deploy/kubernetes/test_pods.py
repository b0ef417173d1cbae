"""Pods of the chart, run: `make test-kubernetes`.

There is no node: a pod is run as it stands in the cluster by ``tests.support.pods``, with a real
Envoy, and a real OpenBao that asks the cluster about the pod's login.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.kubernetes.world import IMAGES, World, ask, install, settings_of, values
from tests.deploy.test_kubernetes import CHART, HELM, needs_helm
from tests.packaging.asked import check
from tests.support.cluster import Cluster
from tests.support.minting import AUDIENCE, ISSUER, TENANT
from tests.support.pods import RunningPod
from tests.support.resources import Resource
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("cluster"), needs_helm]
SELECTOR = "app.kubernetes.io/name=septem-sidecar"


def only_pod(cluster: Cluster, namespace: str) -> Resource:
    (pod,) = cluster.pods(namespace, SELECTOR)
    return pod


def test_a_pod_of_the_chart_serves_and_follows_its_configuration(
    world: World, tmp_path: Path
) -> None:
    """Install, log in by the pod's account, answer, change the configuration, remove."""
    cluster = world.cluster
    cluster.namespace("septem")
    given = values(world)
    said = install(world, "septem", given, tmp_path)
    assert "would violate" not in said
    world.let_in("septem-septem-sidecar", "septem", settings_of(cluster, "septem"))
    pod = only_pod(cluster, "septem")
    running = RunningPod(
        cluster, pod, IMAGES, tmp_path / "pod", hosts=["application.default.svc.cluster.local"]
    )
    deployment = "deployment/septem-septem-sidecar"
    try:
        running.start()
        rolled = cluster.kubectl(
            "--namespace", "septem", "rollout", "status", deployment, "--timeout=60s"
        )
        assert "successfully rolled out" in rolled.stdout

        status, headers, _ = ask(world, 8443)
        assert (status, headers["www-authenticate"][:6]) == (401, "Bearer")
        sent = {"authorization": f"Bearer {world.mint()}", "x-tenant-id": "forged"}
        status, headers, body = ask(world, 8443, sent)
        assert (status, body["seen"]["x-tenant-id"]) == (200, [TENANT])
        assert headers["strict-transport-security"].startswith("max-age=")

        # The ConfigMap changes, and the pod stays: the sidecar reads its file again.
        given["config"]["routes"] = [{"name": "shop", "path_prefix": "/", "auth": "none"}]
        install(world, "septem", given, tmp_path)
        assert only_pod(cluster, "septem")["metadata"]["uid"] == pod["metadata"]["uid"]
        running.refresh()
        sidecar = running.running["sidecar"]
        wait_until(lambda: ask(world, 8443)[0] == 200, 30, explain=sidecar.tail)

        # A mistake stays out, and the old configuration in force.
        given["config"]["routes"][0]["auht"] = "none"
        install(world, "septem", given, tmp_path)
        running.refresh()
        sidecar = running.running["sidecar"]
        wait_until(lambda: "auht" in "\n".join(sidecar.lines), 30)
        assert ask(world, 8443)[0] == 200
        running.report()
        cluster.kubectl("--namespace", "septem", "rollout", "status", deployment, "--timeout=60s")
    finally:
        running.stop()
    assert HELM is not None
    cluster.run(HELM, "uninstall", "septem", "--namespace", "septem")
    kinds = "deployments,services,configmaps,networkpolicies,poddisruptionbudgets,serviceaccounts"
    left = cluster.get("septem", kinds, "--selector", "app.kubernetes.io/instance=septem")
    assert left == []


def shipped(world: World, mode: str) -> dict[str, Any]:
    """Return the values that are kept for a mode, with this machine's Vault."""
    found: dict[str, Any] = yaml.safe_load((CHART.parent / f"values/{mode}.yaml").read_text())
    found["config"]["vault"]["address"] = world.openbao.address
    found["config"]["tokens"]["issuers"] = [{"issuer": ISSUER, "audiences": [AUDIENCE]}]
    return found


@contextmanager
def of_mode(world: World, mode: str, folder: Path) -> Iterator[RunningPod]:
    """Install what is kept for a mode, and run one of its pods."""
    world.cluster.namespace(mode)
    given = {**shipped(world, mode), "replicas": 1}
    install(world, mode, given, folder)
    world.let_in("septem-septem-sidecar", mode, settings_of(world.cluster, mode))
    pod = only_pod(world.cluster, mode)
    running = RunningPod(world.cluster, pod, IMAGES, folder / "pod")
    try:
        running.start()
        yield running
    finally:
        running.stop()


def test_each_worker_of_a_deployment_answers_over_the_network(world: World, tmp_path: Path) -> None:
    with of_mode(world, "deployment", tmp_path):
        service = world.cluster.get("deployment", "service", "septem-septem-sidecar")["spec"]
        ports = [each["port"] for each in service["ports"]]
        assert ports == [9110, 9111]
        for port in ports:
            address = f"127.0.0.1:{port}"
            assert (check(address, ""), check(address, world.mint())) == (401, 200)


def test_the_pod_of_a_node_serves_certificates_to_its_peers_alone(
    world: World, tmp_path: Path
) -> None:
    """The policy that the sidecar prints lets it sign for both issuers, and read what it needs."""
    issue = world.openbao.client.write_data
    with of_mode(world, "node", tmp_path):
        for name, answer in (("gateways/sa/envoy", SETTINGS_FRAME), ("shop/sa/envoy", None)):
            made = issue("services/issue/service", data={
                "uri_sans": f"spiffe://example/ns/{name}", "ttl": "1h",
            })["data"]  # fmt: skip
            (tmp_path / "peer.pem").write_text(
                "\n".join((made["private_key"], made["certificate"], made["issuing_ca"]))
            )
            assert first_frame(9101, tmp_path / "peer.pem") == answer, name


SETTINGS_FRAME = 4


def first_frame(port: int, certificate: Path) -> int | None:
    """Return the type of the first HTTP/2 frame that a client with a certificate is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", port), 10) as raw:
        try:
            with context.wrap_socket(raw) as client:
                client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5))
                head = client.recv(9)
        except (ssl.SSLError, ConnectionError):
            return None
    return head[3] if head else None


@pytest.mark.parametrize(
    ("account", "namespace"),
    [("another", "stranger"), ("septem-septem-sidecar", "another")],
    ids=["another account", "another namespace"],
)
def test_vault_lets_no_other_pod_in(
    account: str, namespace: str, world: World, tmp_path: Path
) -> None:
    cluster = world.cluster
    cluster.namespace("stranger")
    install(world, "stranger", values(world), tmp_path)
    world.let_in(account, namespace, settings_of(cluster, "stranger"))
    running = RunningPod(cluster, only_pod(cluster, "stranger"), IMAGES, tmp_path / "pod",
                         hosts=["application.default.svc.cluster.local"],
                         without=["envoy"], wait=False)  # fmt: skip
    try:
        running.start()
        sidecar = running.running["sidecar"]
        wait_until(lambda: "not authorized" in "\n".join(sidecar.lines), 30,
                   explain=sidecar.tail)  # fmt: skip
        running.report()
    finally:
        running.stop()
    status = only_pod(cluster, "stranger")["status"]["conditions"]
    assert {each["status"] for each in status if each["type"] == "Ready"} == {"False"}
