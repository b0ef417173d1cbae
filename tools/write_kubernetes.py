"""Writes what deploy/kubernetes keeps of other files, and what helm makes of the chart.

    python tools/write_kubernetes.py

``COPIES`` are files of the chart that are made from files of this repository. ``RENDERED`` are
the plain manifests and further results, each of a file of values; they need helm. ``TRANSLATED`` is
what Envoy Gateway's own program, egctl, makes of its resources.
"""

import base64
import copy
import json
import shutil
import subprocess
import sysconfig
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sidecar.cli.main import main

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy/kubernetes/chart"
GATEWAYS = ROOT / "deploy/kubernetes/gateways"
TRANSLATED = ROOT / "tests/deploy/translated/envoy-gateway.json"
"""What Envoy Gateway makes of its file, as a running Envoy's dump would have it."""
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
_REMOVED = "response_headers_to_remove"
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
    filters = _manager(listeners)["http_filters"]
    names = [each["name"] for each in filters]
    before: list[Any] = filters[: names.index("envoy.filters.http.ext_authz")]
    return before


def headers_of_applications(listeners: list[Any]) -> list[str]:
    """Return the headers that are taken from applications' responses."""
    removed: list[str] = _manager(listeners)["route_config"][_REMOVED]
    return removed


def _manager(listeners: list[Any]) -> Any:
    """Return the settings of the HTTP connection manager that clients reach over TLS."""
    (https,) = [each for each in listeners if each["name"] == "https"]
    (chain,) = https["filter_chains"]
    return chain["filters"][0]["typed_config"]


def _json_patches(listeners: list[Any]) -> list[Any]:
    """Return the patches of Envoy Gateway; each filter is put first, so the last one begins."""
    at = "filter_chains[0].filters[0].typed_config.http_filters[0]"
    listener = "type.googleapis.com/envoy.config.listener.v3.Listener"
    patches: list[tuple[str, str, Any]] = [
        (listener, at, each) for each in reversed(filters_before_the_check(listeners))
    ]
    # Upgrades whose Connection removes headers: the first route of each virtual host. Its setting
    # for ext_authz is under a name that is not Envoy Gateway's: it is checked like the others.
    first = dict(_manager(listeners)["route_config"]["virtual_hosts"][0]["routes"][0])
    del first["typed_per_filter_config"]
    routes = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
    patches.append((routes, "virtual_hosts[*].routes[0]", first))
    operations: list[tuple[str, dict[str, Any]]] = [
        (kind, {"op": "add", "jsonPath": path, "value": value}) for kind, path, value in patches
    ]
    removed = headers_of_applications(listeners)
    operations.append((routes, {"op": "add", "path": f"/{_REMOVED}", "value": removed}))
    return [
        {"type": kind, "name": "gateways/edge/https", "operation": operation}
        for kind, operation in operations
    ]


def _envoy_filters(listeners: list[Any]) -> list[Any]:
    """Return the patches of Istio, in the same order for the same reason."""
    manager = {"name": "envoy.filters.network.http_connection_manager"}
    match = {"context": "GATEWAY", "listener": {"filterChain": {"filter": manager}}}
    routes = {
        "applyTo": "ROUTE_CONFIGURATION",
        "match": {"context": "GATEWAY"},
        "patch": {
            "operation": "MERGE",
            "value": {_REMOVED: headers_of_applications(listeners)},
        },
    }
    filters = [
        {
            "applyTo": "HTTP_FILTER",
            "match": copy.deepcopy(match),
            "patch": {"operation": "INSERT_FIRST", "value": each},
        }
        for each in reversed(filters_before_the_check(listeners))
    ]
    return [*filters, routes]


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


def render(helm: str, values: Path, release: str = "septem") -> "subprocess.CompletedProcess[str]":
    """Have helm render the chart with a file of values."""
    command = [helm, "template", release, str(CHART), "--namespace", "septem"]
    command += ["--kube-version", _VERSION, "--values", str(values)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def find_egctl() -> str | None:
    """Return Envoy Gateway's own program, of the environment or of the machine."""
    return shutil.which("egctl", path=sysconfig.get_path("scripts")) or shutil.which("egctl")


def translate(egctl: str) -> str:
    """Have Envoy Gateway translate its file: what Envoy gets, as a dump of its configuration.

    The listener's certificate is made for that and left out. Raises ``SystemExit`` if a resource is
    not accepted.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.yaml"
        parts = [GATEWAYS / "envoy-gateway.yaml", ROOT / "tests/deploy/gateway_application.yaml"]
        path.write_text("---\n".join([*(each.read_text() for each in parts), _secret()]))
        command = [egctl, "experimental", "translate", "--from", "gateway-api", "--file", str(path)]
        command += ["--to", "gateway-api,xds", "--type", "all", "--output", "json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    document = json.loads(done.stdout)
    refused = [each for each in _conditions(document) if each.get("status") == "False"]
    if refused:
        raise SystemExit(f"Envoy Gateway does not accept: {refused}")
    dump = document["xds"]["gateways/edge"]
    dump["configs"] = [each for each in dump["configs"] if "Secrets" not in each["@type"]]
    return json.dumps(dump, indent=1, sort_keys=True) + "\n"


def _conditions(node: Any) -> Iterator[dict[str, Any]]:
    """Yield what is said of resources: whether they are accepted, programmed, resolved."""
    if isinstance(node, dict):
        yield from node.get("conditions") or ()
        for value in node.values():
            yield from _conditions(value)
    if isinstance(node, list):
        for value in node:
            yield from _conditions(value)


def _secret() -> str:
    """Return a certificate for the gateway's listener, as a Secret."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "app.example.com")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start.replace(year=2046))
        .sign(key, hashes.SHA256())
    )
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    data = {
        "tls.crt": base64.b64encode(certificate.public_bytes(Encoding.PEM)).decode(),
        "tls.key": base64.b64encode(key.private_bytes(*form)).decode(),
    }
    metadata = {"name": "edge-tls", "namespace": "gateways"}
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls"}
    return yaml.safe_dump({**secret, "metadata": metadata, "data": data})


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
    egctl = find_egctl()
    if egctl is None:
        raise SystemExit("no egctl, so the translation stays as it is: tools/get-helm installs it")
    TRANSLATED.write_text(translate(egctl))


if __name__ == "__main__":
    write()
