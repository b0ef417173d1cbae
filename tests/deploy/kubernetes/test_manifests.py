"""The manifests and gateways' files in a real control plane: `make test-kubernetes`.

kube-apiserver takes each under the Pod Security Standard `restricted` and evaluates the rules of
custom resources; controllers make the pods.
"""

import copy
from pathlib import Path

import pytest

from tests.deploy.test_kubernetes import CHART, RESULTS, SETS
from tests.support.cluster import Cluster
from tests.support.resources import Resource, pod_template, read_all
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("cluster")]
GATEWAYS = CHART.parent / "gateways"
SELECTOR = "app.kubernetes.io/name=septem-sidecar"


def workload(resources: list[Resource]) -> Resource:
    (found,) = [each for each in resources if pod_template(each) is not None]
    return found


@pytest.mark.parametrize("name", SETS)
def test_the_control_plane_takes_every_set_and_makes_its_pods(name: str, cluster: Cluster) -> None:
    namespace = f"set-{name}"
    cluster.namespace(namespace)
    said = cluster.apply(*RESULTS[name], namespace=namespace)
    assert "Warning" not in said
    made = workload(RESULTS[name])
    selector = ",".join(f"{k}={v}" for k, v in made["spec"]["selector"]["matchLabels"].items())
    pods = cluster.pods(namespace, selector, made["spec"].get("replicas", 1))
    assert {each["metadata"]["namespace"] for each in pods} == {namespace}


def test_a_pod_that_may_do_more_is_not_made(cluster: Cluster) -> None:
    """What the test above can see: the workload is warned of, and its pods are refused."""
    cluster.namespace("looser")
    looser = copy.deepcopy(RESULTS["pod"])
    template = pod_template(workload(looser))
    assert template is not None
    del template["securityContext"]["seccompProfile"]
    said = cluster.apply(*looser, namespace="looser")
    assert 'Warning: would violate PodSecurity "restricted:latest": seccompProfile' in said

    def refusals() -> list[Resource]:
        events: list[Resource] = cluster.get("looser", "events")
        return [each for each in events if "violates PodSecurity" in each["message"]]

    wait_until(refusals, 30)
    assert cluster.pods("looser", SELECTOR, 0) == []


@pytest.mark.parametrize("path", sorted(GATEWAYS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_rules_of_custom_resources_hold(path: Path, cluster: Cluster) -> None:
    resources = read_all(path)
    for namespace in {each["metadata"]["namespace"] for each in resources}:
        cluster.namespace(namespace)
    said = cluster.apply(*resources)
    assert "Warning" not in said


def test_a_broken_rule_is_seen(cluster: Cluster) -> None:
    """One that no schema says: a policy has one target or a list of them, not both."""
    (policy,) = [
        each for each in read_all(GATEWAYS / "envoy-gateway.yaml")
        if each["kind"] == "SecurityPolicy"
    ]  # fmt: skip
    broken = copy.deepcopy(policy)
    broken["metadata"] = {"name": "broken", "namespace": "default"}
    broken["spec"]["targetRef"] = broken["spec"]["targetRefs"][0]
    said = cluster.apply(broken, check=False)
    assert "is invalid" in said
    assert "targetRef" in said
