"""A real sidecar with workers, behind a real Envoy that has an endpoint for each."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo.envoyproxy import readme_pieces
from demo.process import fetch_text, free_run
from demo.stack import Stack

WORKERS = 3


class WorkerStack(Stack):
    """The demo's stack, with three workers and no other difference."""

    def _sidecar_config(self) -> Mapping[str, Any]:
        self.first_port = free_run(WORKERS)
        config = dict(super()._sidecar_config())
        listen = dict(config["listen"])
        listen["authz"] = {"address": f"127.0.0.1:{self.first_port}", "workers": WORKERS}
        return {**config, "listen": listen}

    def _envoy_config(self) -> Any:
        """edge.yaml with the two pieces of envoy/README.md, put in by their comments' word."""
        config = super()._envoy_config()
        cluster_piece, filter_piece = readme_pieces()
        static = config["static_resources"]
        (cluster,) = (each for each in static["clusters"] if each["name"] == "sidecar_authz")
        cluster.update(cluster_piece)
        (locality,) = cluster["load_assignment"]["endpoints"]
        for endpoint, port in zip(locality["lb_endpoints"], self.check_ports, strict=True):
            endpoint["endpoint"]["address"]["socket_address"]["port_value"] = port
        (https,) = (each for each in static["listeners"] if each["name"] == "https")
        manager = https["filter_chains"][0]["filters"][0]["typed_config"]
        (ext_authz,) = (
            each for each in manager["http_filters"] if each["name"].endswith(".ext_authz")
        )
        ext_authz["typed_config"].update(filter_piece)
        return config

    @property
    def check_ports(self) -> range:
        return range(self.first_port, self.first_port + WORKERS)

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics, each under its name with labels."""
        text = fetch_text(self.admin_port, "/metrics")
        rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in rows}

    def readyz(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(fetch_text(self.admin_port, "/readyz"))
        return answer

    def worker_pids(self) -> list[int]:
        return children(self.sidecar.pid)


def children(pid: int) -> list[int]:
    """List the child processes of a process, zombies among them, but for those that tests share.

    A browser and servers of whole sessions are children of the tests; a worker that has ended
    and was not waited for has no command line, and counts.
    """
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [child for child in map(int, text.split()) if not _is_shared(child)]


def _is_shared(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:  # it was waited for meanwhile
        return True
    return (
        command != b""
        and b"sidecar.runtime.workers.main" not in command
        and b"-c" not in command.split(b"\0")
    )


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024 / 1e6
