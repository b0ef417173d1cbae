"""The programs of a soak, each of which is killed, frozen, restarted: sidecars, Envoy, OpenBao."""

import copy
import json
import re
import resource
import sys
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM
from typing import Any, NamedTuple

import yaml

from bench.soak.policy import Policy
from bench.soak.settings import Shared, Unit, sidecar_settings
from demo.envoyproxy import Envoy
from demo.process import ManagedProcess, ProcessFault, fetch_text
from sidecar.cli.admin_client import AdminFault, request_admin
from sidecar.common.clock import monotonic_seconds

_DECISION = re.compile("[0-9a-f]{8,}")
START_SECONDS = 180.0
DROPPED = "septem_audit_lines_dropped_total"
FAULTS = "septem_internal_faults_total"
_LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
_DRAIN = (
    *("--drain-time-s", "8", "--parent-shutdown-time-s", "12"),
    *("--drain-strategy", "immediate"),
)
"""Longer than the soak's streams, so that none is cut. Immediate: from the first moment of a drain
on an answer says that its connection ends, and a client never meets the end unawares."""


class Said(NamedTuple):
    """A line that a program wrote, and when it was read."""

    at: float
    whom: str
    text: str


class Sidecar:
    """One sidecar: its file, its process, and what all of its lives came to."""

    def __init__(self, unit: Unit, shared: Shared, log: list[Said]) -> None:
        self.unit = unit
        self.name = f"sidecar {unit.number}"
        self.dropped = 0.0
        """Audit lines that were counted as dropped, in all lives as far as it was seen."""
        self.faults = 0.0
        self.drain_seconds = 5.0
        self.exits: list[int] = []
        self._shared = shared
        self._log = log
        self._seen_dropped = self._seen_faults = 0.0
        self._process: ManagedProcess | None = None
        unit.folder.mkdir()

    @property
    def config(self) -> Path:
        """Its file."""
        return self.unit.folder / "sidecar.yaml"

    @property
    def pid(self) -> int:
        """The main process; 0 if there is none."""
        process = self._process
        return 0 if process is None or process.returncode is not None else process.pid

    def worker_pids(self) -> list[int]:
        """Return the workers' processes: its children, but for those that have ended."""
        with suppress(OSError):
            text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
            return [pid for pid in map(int, text.split()) if _is_worker(pid)]
        return []

    def write(self, policy: Policy) -> None:
        """Replace its file."""
        settings = sidecar_settings(self.unit, self._shared, policy, self.drain_seconds)
        self.write_text(yaml.safe_dump(settings, sort_keys=False))

    def write_text(self, text: str) -> None:
        """Replace its file by a text that may be broken."""
        fresh = self.config.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.config)

    def start(self) -> None:
        """Start it, and again while it can't start, and wait until it is ready."""
        deadline = monotonic_seconds() + START_SECONDS
        while True:
            self._process = ManagedProcess(
                self.name,
                [sys.executable, "-m", "sidecar", "serve", "--config", str(self.config)],
                on_line=self._take,
            )
            try:
                self._process.wait_until(self.is_ready, deadline - monotonic_seconds())
            except ProcessFault:
                self._process.stop()
                if monotonic_seconds() > deadline:
                    raise
            else:
                return

    def _take(self, line: str) -> None:
        self._log.append(Said(monotonic_seconds(), self.name, line))

    def is_ready(self) -> bool:
        """Tell whether it says that it is."""
        answer = self.ask("GET", "/readyz")
        return answer is not None and answer[0] == 200

    def ask(
        self, method: str, target: str, body: bytes = b"", seconds: float = 30.0
    ) -> tuple[int, dict[str, Any]] | None:
        """Ask its admin port; ``None`` if nobody answers."""
        address = f"127.0.0.1:{self.unit.admin_port}"
        try:
            return request_admin(address, method, target, seconds=seconds, body=body)
        except AdminFault:
            return None

    def metrics(self) -> dict[str, float]:
        """Read its metrics, and keep what is added up over its lives."""
        lines = fetch_text(self.unit.admin_port, "/metrics").splitlines()
        rows = (line.rpartition(" ") for line in lines if line.startswith("septem_"))
        found = {name: float(value) for name, _, value in rows}
        if DROPPED in found:
            self._seen_dropped = max(self._seen_dropped, found[DROPPED])
            self._seen_faults = max(self._seen_faults, found.get(FAULTS, 0.0))
        return found

    def begin_life(self) -> None:
        """Count from 0 again: counters do not survive a restart."""
        self.dropped += self._seen_dropped
        self.faults += self._seen_faults
        self._seen_dropped = self._seen_faults = 0.0

    def kill(self) -> None:
        """End it without a warning."""
        assert self._process is not None
        self._process.signal(SIGKILL)
        self._process.wait(30)
        self._process.stop()
        self.begin_life()

    def stop(self) -> None:
        """End it as systemd does, and keep its exit code."""
        if self._process is None or not self.pid:
            return
        self.metrics()
        self._process.signal(SIGCONT)
        self._process.signal(SIGTERM)
        self.exits.append(self._process.wait(60))
        self._process.stop()
        self.begin_life()

    def limit_files(self, size_bytes: int) -> None:
        """Let no file grow above so many bytes: what a full disk is to who writes (EFBIG)."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size_bytes, hard))

    def audited(self) -> list[dict[str, Any]]:
        """Return the decisions of its audit log. A line that was cut by a kill is left out."""
        found = []
        for line in self.unit.audit_log.read_bytes().splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        # The log has entries about itself too, of lines that were lost: those decide nothing.
        return [each for each in found if _DECISION.fullmatch(str(each.get("decision_id", "")))]


def _is_worker(pid: int) -> bool:
    with suppress(OSError):
        return b"workers" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


class ChangingEnvoy:
    """An Envoy whose listeners come from a file, and that is restarted hot."""

    def __init__(self, config: Any, folder: Path) -> None:
        self._config = copy.deepcopy(config)
        self._folder = folder
        self._version = self._epoch = 0
        self.admin_port: int = config["admin"]["address"]["socket_address"]["port_value"]
        self._listeners = self._config["static_resources"].pop("listeners")
        source = {"path_config_source": {"path": str(folder / "lds.json")}}
        dynamic = self._config.setdefault("dynamic_resources", {})
        dynamic["lds_config"] = {**source, "resource_api_version": "V3"}
        self.publish()
        base = folder / "base-id"
        options = ("--use-dynamic-base-id", "--base-id-path", str(base), *_DRAIN)
        self._envoy = Envoy(self._config, folder, options=options)
        self._base = base.read_text().strip()

    @property
    def pid(self) -> int:
        """The newest one."""
        return self._envoy.process.pid

    def publish(self) -> None:
        """Write the listeners as another version."""
        self._version += 1
        listeners = copy.deepcopy(self._listeners)
        for each in listeners:
            each["@type"] = _LISTENER
            for chain in each["filter_chains"]:
                manager = chain["filters"][0]["typed_config"]
                manager["stat_prefix"] = f"version_{self._version}"
        fresh = self._folder / "lds.new"
        fresh.write_text(json.dumps({"version_info": str(self._version), "resources": listeners}))
        fresh.rename(self._folder / "lds.json")

    def restart_hot(self) -> int:
        """Start another that takes the listeners over, wait for the end of the one before."""
        before = self._envoy.process
        self._epoch += 1
        options = ("--base-id", self._base, "--restart-epoch", str(self._epoch), *_DRAIN)
        self._envoy = Envoy(self._config, self._folder, options=options)
        code = before.wait(120)
        before.stop()
        return code

    def stop(self) -> None:
        """End it."""
        self._envoy.stop()

    def said(self) -> list[str]:
        """Return the newest one's last lines that are not of the access log."""
        return [line for line in self._envoy.process.lines if not line.startswith("{")]
