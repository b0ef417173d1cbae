"""Writes the schemas that the tests of deploy/ hold files against, from Go modules.

Of custom resources for deploy/kubernetes, and of Compose files for deploy/compose.

    go mod download github.com/envoyproxy/gateway@v1.9.0 …   # MODULES, COMPOSE
    python tools/write_crds.py "$(go env GOMODCACHE)"
    python tools/write_crds.py "$(go env GOMODCACHE)" DIR

Descriptions are left out, which are most of their size. Their licence is Apache-2.0, each. With a
folder nothing is written but that: the definitions as they are, for a kube-apiserver.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests/deploy/crds"
_EG = "github.com/envoyproxy/gateway@v1.9.0/charts/gateway-crds-helm/templates/generated"
_PO = "github.com/prometheus-operator/prometheus-operator@v0.85.0/example/prometheus-operator-crd"
MODULES: Mapping[str, frozenset[str]] = {
    f"{_EG}/gateway.envoyproxy.io_securitypolicies.yaml": frozenset({"SecurityPolicy"}),
    f"{_EG}/gateway.envoyproxy.io_clienttrafficpolicies.yaml": frozenset({"ClientTrafficPolicy"}),
    f"{_EG}/gateway.envoyproxy.io_envoypatchpolicies.yaml": frozenset({"EnvoyPatchPolicy"}),
    f"{_EG}/gateway.envoyproxy.io_backends.yaml": frozenset({"Backend"}),
    f"{_EG}/gateway.envoyproxy.io_envoyproxies.yaml": frozenset({"EnvoyProxy"}),
    f"{_PO}/monitoring.coreos.com_servicemonitors.yaml": frozenset({"ServiceMonitor"}),
    f"{_PO}/monitoring.coreos.com_prometheusrules.yaml": frozenset({"PrometheusRule"}),
    "istio.io/api@v1.32.0/kubernetes/customresourcedefinitions.gen.yaml": frozenset(
        {"AuthorizationPolicy", "EnvoyFilter", "ServiceEntry"}
    ),
    "github.com/projectcontour/contour@v1.33.8/examples/contour/01-crds.yaml": frozenset(
        {"ExtensionService", "HTTPProxy"}
    ),
}
"""The kinds that are taken of each file."""
WHOLE = "github.com/envoyproxy/gateway@v1.9.0/charts/gateway-helm/charts/crds/crds"
"""The folder of what Envoy Gateway needs: its own resources, and those of the Gateway API."""
COMPOSE = "github.com/compose-spec/compose-go/v2@v2.16.2/schema/compose-spec.json"


def without_texts(node: Any, *, is_schema: bool = True) -> Any:
    """Return a schema without descriptions; a property may have that name."""
    if isinstance(node, list):
        return [without_texts(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        name: without_texts(value, is_schema=name != "properties")
        for name, value in node.items()
        if not (is_schema and name in {"description", "x-kubernetes-validations"})
    }


def write_whole(modules: Path, into: Path) -> None:
    """Write every definition that a cluster needs, by its name."""
    into.mkdir(parents=True)
    files = [modules / name for name in MODULES if not name.startswith(_EG)]
    for path in (*files, *sorted((modules / WHOLE).rglob("*.yaml"))):
        for document in yaml.safe_load_all(path.read_text()):
            if (document or {}).get("kind") == "CustomResourceDefinition":
                text = json.dumps(document)
                (into / f"{document['metadata']['name']}.json").write_text(text)


def main(modules: Path) -> None:
    """Write a file for each kind, with all its versions."""
    FOLDER.mkdir(exist_ok=True)
    for name, kinds in MODULES.items():
        lines = (modules / name).read_text().splitlines()
        text = "\n".join(line for line in lines if not line.startswith("{{"))  # helm's
        for document in yaml.safe_load_all(text):
            spec = (document or {}).get("spec", {})
            kind = spec.get("names", {}).get("kind")
            if kind not in kinds:
                continue
            versions = {
                f"{spec['group']}/{each['name']}": without_texts(each["schema"]["openAPIV3Schema"])
                for each in spec["versions"]
            }
            made = {"origin": name, "licence": "Apache-2.0", "versions": versions}
            path = FOLDER / f"{kind}.json"
            path.write_text(json.dumps(made, separators=(",", ":"), sort_keys=True) + "\n")
    schema = without_texts(json.loads((modules / COMPOSE).read_text()))
    made = {"origin": COMPOSE, "licence": "Apache-2.0", "schema": schema}
    path = FOLDER.parent / "compose-spec.json"
    path.write_text(json.dumps(made, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    if sys.argv[2:]:
        write_whole(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]))
