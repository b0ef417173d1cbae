"""Writes what deploy/kubernetes keeps of other files, and what helm makes of the chart.

    python tools/write_kubernetes.py

``COPIES`` are files of the chart that are made from files of this repository. ``RENDERED`` are
the plain manifests and further results, each of a file of values; they need helm.
"""

import copy
import shutil
import subprocess
import sysconfig
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sidecar.cli.main import main

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy/kubernetes/chart"
GATEWAYS = ROOT / "deploy/kubernetes/gateways"
_BEGIN, _END = "# filters: begin\n", "# filters: end\n"
_KEPT = {
    ROOT / "deploy/kubernetes/values": ROOT / "deploy/kubernetes/manifests",
    ROOT / "tests/deploy/values": ROOT / "tests/deploy/rendered",
}
RENDERED: Mapping[Path, Path] = {
    values: results / values.name
    for folder, results in _KEPT.items()
    for values in sorted(folder.glob("*.yaml"))
}
"""The result's file by the file of its values."""
_VERSION = "1.34.0"
"""The version of Kubernetes that the chart is rendered for."""


def copies() -> Mapping[Path, str]:
    """Return what the chart's copies must hold."""
    with tempfile.TemporaryDirectory() as folder:
        made = main(
            [
                *("config", "init", "--envoy", "--directory", folder),
                *("--listen", "0.0.0.0"),  # noqa: S104 - of the pod
                *("--vault", "https://vault.internal:8200", "--host", "app.example.com"),
                *("--issuer", "https://iam.example.com", "--audience", "https://api.example.com"),
                *("--authz", "unix:/run/septem/authz.sock", "--sds", "unix:/run/septem/sds.sock"),
                *("--application", "application.default.svc.cluster.local:8080"),
                *("--public-port", "443"),
            ]
        )
        if made:
            raise SystemExit(made)
        envoy = (Path(folder) / "envoy.yaml").read_text()
    listeners = yaml.safe_load(envoy)["static_resources"]["listeners"]
    return {
        **{
            GATEWAYS / name: _with_filters(GATEWAYS / name, patches(listeners))
            for name, patches in (
                ("envoy-gateway.yaml", _json_patches),
                ("istio.yaml", _envoy_filters),
            )
        },
        CHART / "files/envoy.yaml": envoy,
        CHART / "files/prometheus-alerts.yaml": (
            ROOT / "deploy/prometheus-alerts.yaml"
        ).read_text(),
    }


def filters_before_the_check(listeners: list[Any]) -> list[Any]:
    """Return the HTTP filters that stand before ext_authz, in their order."""
    (filters,) = [
        chain["filters"][0]["typed_config"]["http_filters"]
        for listener in listeners
        if listener["name"] == "https"
        for chain in listener["filter_chains"]
    ]
    names = [each["name"] for each in filters]
    before: list[Any] = filters[: names.index("envoy.filters.http.ext_authz")]
    return before


def _json_patches(listeners: list[Any]) -> list[Any]:
    """Return the patches of Envoy Gateway; each filter is put first, so the last one begins."""
    at = "filter_chains[0].filters[0].typed_config.http_filters[0]"
    return [
        {
            "type": "type.googleapis.com/envoy.config.listener.v3.Listener",
            "name": "gateways/edge/https",
            "operation": {"op": "add", "jsonPath": at, "value": each},
        }
        for each in reversed(filters_before_the_check(listeners))
    ]


def _envoy_filters(listeners: list[Any]) -> list[Any]:
    """Return the patches of Istio, in the same order for the same reason."""
    manager = {"name": "envoy.filters.network.http_connection_manager"}
    match = {"context": "GATEWAY", "listener": {"filterChain": {"filter": manager}}}
    return [
        {
            "applyTo": "HTTP_FILTER",
            "match": copy.deepcopy(match),
            "patch": {"operation": "INSERT_FIRST", "value": each},
        }
        for each in reversed(filters_before_the_check(listeners))
    ]


def _with_filters(path: Path, patches: list[Any]) -> str:
    """Return a gateway's file with the patches between its marks."""
    head, _, rest = path.read_text().partition(_BEGIN)
    text = yaml.dump(patches, sort_keys=False, width=100, Dumper=_WithoutAliases)
    indented = textwrap.indent(text, "    ")
    return f"{head}{_BEGIN}{indented}{_END}{rest.partition(_END)[2]}"


class _WithoutAliases(yaml.SafeDumper):
    """Writes each value where it stands: Kubernetes' clients differ in aliases."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def find_helm() -> str | None:
    """Return the program, of the environment or of the machine."""
    return shutil.which("helm", path=sysconfig.get_path("scripts")) or shutil.which("helm")


def render(helm: str, values: Path) -> "subprocess.CompletedProcess[str]":
    """Have helm render the chart with a file of values."""
    command = [helm, "template", "septem", str(CHART), "--namespace", "septem"]
    command += ["--kube-version", _VERSION, "--values", str(values)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def write() -> None:
    """Write all of it. Ends with a sentence where that can't be."""
    for path, text in copies().items():
        path.write_text(text)
    helm = find_helm()
    if helm is None:
        raise SystemExit("no helm, so the manifests stay as they are: tools/get-helm installs it")
    for values, result in RENDERED.items():
        done = render(helm, values)
        if done.returncode:
            raise SystemExit(f"{values}: {done.stderr}")
        result.parent.mkdir(exist_ok=True)
        result.write_text(done.stdout)


if __name__ == "__main__":
    write()
