"""Pods of the chart, run: `make test-kubernetes`.

There is no node: a pod is run as it stands in the cluster by ``tests.support.pods``, with a real
Envoy, and a real OpenBao that asks the cluster about the pod's login.
"""

from pathlib import Path

import pytest

from tests.deploy.kubernetes.world import IMAGES, World, ask, install, values
from tests.deploy.test_kubernetes import HELM, needs_helm
from tests.support.cluster import Cluster
from tests.support.minting import TENANT
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
    world.let_in("septem-septem-sidecar", "septem")
    given = values(world)
    said = install(world, "septem", given, tmp_path)
    assert "would violate" not in said
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


@pytest.mark.parametrize(
    ("account", "namespace"),
    [("another", "stranger"), ("septem-septem-sidecar", "another")],
    ids=["another account", "another namespace"],
)
def test_vault_lets_no_other_pod_in(
    account: str, namespace: str, world: World, tmp_path: Path
) -> None:
    cluster = world.cluster
    if cluster.kubectl("get", "namespace", "stranger", check=False).returncode:
        cluster.namespace("stranger")
    world.let_in(account, namespace)
    install(world, "stranger", values(world), tmp_path)
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
