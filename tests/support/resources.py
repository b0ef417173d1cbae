"""Kubernetes resources held against schemas: Kubernetes' own, and those of custom resources.

Both strictly: a field that no schema knows is an error, as with ``kubectl apply
--validate=strict``. Rules in CEL are not evaluated.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator

CRDS = Path(__file__).parents[1] / "deploy/crds"
VERSIONS = ("1.30", "1.34", "1.37")
"""From the chart's kubeVersion to the newest with a schema."""
Resource = dict[str, Any]
_OPEN = "x-kubernetes-preserve-unknown-fields"


def read_all(*paths: Path) -> list[Resource]:
    """Return the documents of files."""
    documents = (each for path in paths for each in yaml.safe_load_all(path.read_text()))
    return [each for each in documents if each is not None]


def problems(resource: Resource) -> Iterator[str]:
    """Yield what is wrong in one resource, for each version of Kubernetes."""
    named = f"{resource['kind']}/{resource['metadata']['name']}"
    if (crd := CRDS / f"{resource['kind']}.json").exists():
        versions = json.loads(crd.read_text())["versions"]
        if resource["apiVersion"] not in versions:
            yield f"{named}: no such version: {resource['apiVersion']}"
            return
        validator = Draft202012Validator(_closed(versions[resource["apiVersion"]], is_root=True))
        for error in validator.iter_errors(resource):
            yield f"{named}: {error.json_path}: {error.message[:300]}"
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(resource, version, strict=True)
        except kubernetes_validate.ValidationError as exc:
            yield f"{named}: Kubernetes {version}: {exc.message[:300]}"


def _closed(schema: Any, *, is_root: bool = False) -> Any:
    """Return a structural schema that knows no other fields; null is as good as absent."""
    if not isinstance(schema, dict):
        return schema
    made = {
        key: {name: _closed(each) for name, each in value.items()}
        if key == "properties"
        else _closed(value)
        for key, value in schema.items()
    }
    if "properties" in made and not made.get(_OPEN) and "additionalProperties" not in made:
        made["additionalProperties"] = False
    for bound, name in (("maximum", "exclusiveMaximum"), ("minimum", "exclusiveMinimum")):
        if made.get(name) is True:  # as OpenAPI 3.0 has it
            made[name] = made.pop(bound)
    if is_root:
        every = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
        made["properties"] |= {**every, "metadata": {"type": "object"}}
    return made


def pod_template(resource: Resource) -> Resource | None:
    """Return the spec of the pods that a workload makes."""
    spec = resource.get("spec", {})
    if resource["kind"] not in {"Deployment", "DaemonSet", "StatefulSet"}:
        return None
    found: Resource = spec["template"]["spec"]
    return found


def unrestricted(pod: Resource) -> Iterator[str]:
    """Yield what the Pod Security Standard `restricted` refuses of a pod."""
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral",
               "persistentVolumeClaim", "projected", "secret"}  # fmt: skip
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    for volume in pod.get("volumes", ()):
        if not set(volume) - {"name"} <= allowed:
            yield f"volume {volume['name']}"
    context = pod.get("securityContext", {})
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        own = {**context, **container.get("securityContext", {})}
        checks = {
            "runAsNonRoot": own.get("runAsNonRoot") is True,
            "runAsUser": own.get("runAsUser") != 0,
            "seccompProfile": own.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "privileged": not own.get("privileged"),
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "hostPort": not any("hostPort" in each for each in container.get("ports", ())),
        }
        yield from (f"{container['name']}: {name}" for name, holds in checks.items() if not holds)
