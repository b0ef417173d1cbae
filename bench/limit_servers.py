"""What keeps a rate limit, in processes of its own: whole sidecars, and envoyproxy/ratelimit.

The sidecars are started as an operator does, over a real OpenBao and, for a fleet, a real Redis.
In OpenBao stands that ``BUSY`` has a limit that is never reached, for the measure of CPU; every
other tenant has ``RATE``.
"""

import json
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.material import TENANT, Material
from bench.memory import two_in_a_row
from bench.names import AUDIENCE, ISSUER
from demo.openbao import SIDECAR_POLICY, OpenBao
from demo.process import (
    ManagedProcess,
    fetch_status,
    find_program,
    free_ports,
    listens,
)

RATE, BURST = 200, 20
"""Of the overload. envoyproxy/ratelimit knows no burst: it counts in each second of the clock."""
BUSY = TENANT
OVERLOADED = "0f0f0f0f-0000-4000-8000-000000000001"
NEVER_REACHED = 1_000_000_000
RATELIMIT = "service_cmd"
"""The name that ``go install`` gives to envoyproxy/ratelimit's server."""
INSTALL = "go install github.com/envoyproxy/ratelimit/src/service_cmd@latest"
_READY_SECONDS = 30.0


class Keeper:
    """A program that keeps limits: where Envoy asks it, and the processes that it is."""

    def __init__(self, process: ManagedProcess, ports: tuple[int, ...]) -> None:
        self.process, self.ports = process, ports

    def pids(self) -> tuple[int, ...]:
        """Return the main process and its workers."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return (pid, *(int(child) for child in children))


def redis(folder: Path, stack: ExitStack) -> Keeper:
    """Run a Redis that keeps nothing on disk."""
    port = free_ports(1)[0]
    command = [find_program("redis-server", "redis-server (Debian's; tools/get-redis)")]
    command += ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = stack.enter_context(ManagedProcess("redis", [*command, "--dir", str(folder)]))
    process.wait_until(lambda: listens(port), _READY_SECONDS)
    return Keeper(process, (port,))


def vault(material: Material, stack: ExitStack) -> OpenBao:
    """Run an OpenBao that has the key of the tokens, and the limit of the tenant ``BUSY``."""
    server = OpenBao()
    stack.callback(server.stop)
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    server.put_key(material.key.private_bytes(*form).decode())
    server.put_tenant_limits({BUSY: f"{NEVER_REACHED}/1s"})
    return server


def sidecar(
    openbao: OpenBao, folder: Path, stack: ExitStack, *, workers: int = 1, store: Keeper | None
) -> Keeper:
    """Run ``sidecar serve``; of a fleet where there is a store."""
    folder.mkdir()
    (folder / "token").write_text(openbao.token_for(SIDECAR_POLICY))
    (folder / "token").chmod(0o600)
    ports = two_in_a_row() if workers > 1 else (free_ports(1)[0],)
    admin = free_ports(1)[0]
    path = folder / "sidecar.json"
    authz = {"address": f"127.0.0.1:{ports[0]}", "workers": workers}
    listen = {"authz": authz, "admin": {"address": f"127.0.0.1:{admin}"}, "drain_seconds": 0.1}
    path.write_text(json.dumps({"listen": listen, **_settings(openbao, folder, store)}))
    command = [sys.executable, "-m", "sidecar", "serve", "--config", str(path)]
    process = stack.enter_context(ManagedProcess("a sidecar", command))
    process.wait_until(lambda: fetch_status(admin, "/readyz") == 200, _READY_SECONDS)
    return Keeper(process, ports)


def _settings(openbao: OpenBao, folder: Path, store: Keeper | None) -> dict[str, Any]:
    limits: dict[str, Any] = {
        "tenant": {"requests": RATE, "burst": BURST},
        "tenants_from": {"mount": "secret", "path": "limits/tenants"},
    }
    if store is not None:
        limits["redis"] = {"address": f"127.0.0.1:{store.ports[0]}"}
    keys = {"source": "vault_kv"}
    return {
        "vault": {
            "address": openbao.address,
            "auth": {"method": "token_file", "path": str(folder / "token")},
        },
        "tokens": {"issuers": [{"issuer": ISSUER, "audiences": [AUDIENCE], "keys": keys}]},
        "audit": {"to": {"sink": "file", "path": str(folder / "audit.jsonl")}},
        "routes": [{"name": "all", "path_prefix": "/"}],
        "limits": limits,
    }


def find_ratelimit() -> str | None:
    """Return the program of envoyproxy/ratelimit, from the path or from Go's folder."""
    return shutil.which(RATELIMIT) or shutil.which(RATELIMIT, path=str(Path.home() / "go" / "bin"))


def ratelimit(program: str, folder: Path, store: Keeper, stack: ExitStack) -> Keeper:
    """Run envoyproxy/ratelimit with one limit for each value of ``x-tenant``."""
    rules = folder / "ratelimit" / "config"
    rules.mkdir(parents=True)
    values = {"busy": NEVER_REACHED, "overloaded": RATE}
    descriptors = [
        {
            "key": "tenant",
            "value": value,
            "rate_limit": {"unit": "second", "requests_per_unit": requests},
        }
        for value, requests in values.items()
    ]
    (rules / "edge.yaml").write_text(json.dumps({"domain": "edge", "descriptors": descriptors}))
    grpc, http, debug = free_ports(3)
    environment = {
        "RUNTIME_ROOT": str(folder),
        "RUNTIME_SUBDIRECTORY": "ratelimit",
        "RUNTIME_WATCH_ROOT": "false",
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": f"127.0.0.1:{store.ports[0]}",
        "USE_STATSD": "false",
        "LOG_LEVEL": "warn",
        **{f"{name}HOST": "127.0.0.1" for name in ("", "GRPC_", "DEBUG_")},
        **{
            f"{name}PORT": str(port)
            for name, port in (("GRPC_", grpc), ("", http), ("DEBUG_", debug))
        },
    }
    process = stack.enter_context(ManagedProcess("ratelimit", [program], environment))
    process.wait_until(lambda: fetch_status(http, "/healthcheck") == 200, _READY_SECONDS)
    return Keeper(process, (grpc,))
