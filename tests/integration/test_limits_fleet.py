"""Four sidecars, each a process of its own, and a real Redis that is killed and frozen.

``make bench-limits`` runs the same for longer: SEPTEM_FLEET_SECONDS is how long each load is.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.clients import GrpcClient
from demo.openbao import SIDECAR_POLICY, OpenBao
from demo.process import ManagedProcess, fetch_status, fetch_text, free_ports
from sidecar.common.clock import wall_seconds
from sidecar.tokens.jwk import thumbprint
from tests.authz.checks import check_request
from tests.support.minting import AUDIENCE, ISSUER, Issuer
from tests.support.real import TokenFile
from tests.support.redis_server import RedisServer, redis_server
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.quiet]
SIDECARS, RATE, BURST = 4, 100, 20
SECONDS = float(os.environ.get("SEPTEM_FLEET_SECONDS", "2"))
TENANTS = (2, 4, 8) if "SEPTEM_FLEET_SECONDS" in os.environ else (4,)
SETTLE_SECONDS = 1.0
"""Until the burst is spent, and everybody's demand is known."""


class Fleet(NamedTuple):
    ports: list[int]
    admins: list[int]
    redis: RedisServer
    issuer: Issuer

    def load(self, tenants: int, seconds: float) -> list[list[float]]:
        """Ask for each tenant at twice its rate; return by sidecar what passed a second of each."""
        now = int(wall_seconds())
        times = {"iat": now, "nbf": now, "exp": now + 300}
        header = {"kid": thumbprint(self.issuer.private.public_key()), "typ": "at+jwt"}
        tokens = [
            self.issuer.mint(header, tenantId=_tenant(number), **times) for number in range(tenants)
        ]
        raws = [
            check_request(headers={"authorization": f"Bearer {each.decode()}"}) for each in tokens
        ]
        begin = threading.Barrier(SIDECARS)
        per_second = 2 * RATE * tenants / SIDECARS
        with ThreadPoolExecutor(SIDECARS) as pool:
            return list(
                pool.map(lambda port: _load(port, raws, per_second, seconds, begin), self.ports)
            )

    def said(self) -> list[str]:
        texts = [fetch_text(port, "/readyz?verbose") for port in self.admins]
        return [json.loads(each)["limits_store"] for each in texts]


def _tenant(number: int) -> str:
    return f"0f0f0f0f-0000-4000-8000-{number:012d}"


def _load(
    port: int, raws: list[bytes], per_second: float, seconds: float, begin: threading.Barrier
) -> list[float]:
    client = GrpcClient(port)
    passed, sent = [0] * len(raws), 0
    begin.wait()
    began = time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        while sent < elapsed * per_second:
            which = sent % len(raws)
            _, answer = client.answer(raws[which])
            refused = b"rate_limited" in answer
            assert refused or b"problem+json" not in answer
            passed[which] += not refused
            sent += 1
        time.sleep(0.002)
    client.close()
    return [each / elapsed for each in passed]


@pytest.fixture(scope="module")
def fleet(openbao: OpenBao, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    issuer = Issuer.generate()
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    openbao.put_key(issuer.private.private_bytes(*form).decode())
    ports = free_ports(2 * SIDECARS)
    with ExitStack() as exits:
        redis = exits.enter_context(redis_server(folder))
        for number in range(SIDECARS):
            process = _sidecar(openbao, redis, folder / f"{number}", ports[2 * number :][:2])
            exits.callback(process.stop)
        for admin in ports[1::2]:
            wait_until(lambda port=admin: fetch_status(port, "/readyz") == 200)  # type: ignore[misc]
        yield Fleet(ports[::2], ports[1::2], redis, issuer)


def _sidecar(
    openbao: OpenBao, redis: RedisServer, folder: Path, ports: list[int]
) -> ManagedProcess:
    folder.mkdir()
    token = TokenFile(folder / "token")
    token.write(openbao.token_for(SIDECAR_POLICY))
    config = {
        "listen": {
            "authz": {"address": f"127.0.0.1:{ports[0]}"},
            "admin": {"address": f"127.0.0.1:{ports[1]}"},
            "drain_seconds": 0.1,
        },
        "vault": {
            "address": openbao.address,
            "auth": {"method": "token_file", "path": str(token.path)},
        },
        "tokens": {
            "issuers": [{"issuer": ISSUER, "audiences": [AUDIENCE], "keys": {"source": "vault_kv"}}]
        },
        "routes": [{"name": "all", "path_prefix": "/"}],
        "limits": {
            "tenant": {"requests": RATE, "burst": BURST},
            "redis": {"address": redis.address, "timeout_seconds": 0.3},
        },
    }
    path = folder / "sidecar.yaml"
    path.write_text(json.dumps(config))
    return ManagedProcess(
        "a sidecar", [sys.executable, "-m", "sidecar", "serve", "--config", str(path)]
    )


def _is_exact(rates: list[list[float]], within: float) -> None:
    """Every tenant gets its rate across the fleet, and no sidecar starves."""
    together = [sum(each) for each in zip(*rates, strict=True)]
    assert together == [pytest.approx(RATE, rel=within)] * len(together)
    for tenant in zip(*rates, strict=True):
        assert min(tenant) > RATE / SIDECARS * 0.5, tenant


@pytest.mark.parametrize("tenants", TENANTS)
def test_each_tenant_gets_its_rate_across_the_fleet(fleet: Fleet, tenants: int) -> None:
    fleet.load(tenants, SETTLE_SECONDS)
    _is_exact(fleet.load(tenants, SECONDS), 0.05)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_redis_away_in_the_middle_of_a_load_changes_little(
    fleet: Fleet, how: signal.Signals
) -> None:
    fleet.load(2, SETTLE_SECONDS)
    fleet.redis.signal(how)
    fleet.load(2, SETTLE_SECONDS)
    _is_exact(fleet.load(2, SECONDS), 0.1)
    assert all(each.startswith("outage: Redis") for each in fleet.said())
    assert [fetch_status(port, "/readyz") for port in fleet.admins] == [200] * SIDECARS
    if how is signal.SIGKILL:
        fleet.redis.kill()
        fleet.redis.start()
    else:
        fleet.redis.signal(signal.SIGCONT)
    wait_until(lambda: fleet.said() == ["ok"] * SIDECARS)
    fleet.load(2, SETTLE_SECONDS)
    _is_exact(fleet.load(2, SECONDS), 0.05)
