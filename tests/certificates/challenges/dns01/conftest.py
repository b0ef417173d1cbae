"""The DNS servers of the tests of dns-01, and a solver for them."""

import asyncio
from collections.abc import Iterator

import pytest

from sidecar.certificates.challenges.challenge_list import DNS, Challenge
from sidecar.certificates.challenges.dns01.rfc2136 import Rfc2136Writer
from sidecar.certificates.challenges.dns01.solver import Dns01Solver
from sidecar.common.clock import monotonic_seconds
from sidecar.config.dns01 import Dns01Settings, Rfc2136Update
from sidecar.config.vault import VaultEntry
from tests.support.dns_servers import KEY, ZONE, DnsServers, running_dns
from tests.support.fleet_kv import MemoryKv

WRITABLE = (ZONE, "split.test", "lame.test", "half.test", "knot.test")


@pytest.fixture(scope="session")
def dns_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DnsServers]:
    with running_dns(tmp_path_factory.mktemp("dns")) as servers:
        yield servers


@pytest.fixture
def kv() -> MemoryKv:
    vault = MemoryKv()
    vault.put("septem/dns/tsig", KEY)
    return vault


def settings(servers: DnsServers, server: str = "", **change: object) -> Dns01Settings:
    update = Rfc2136Update(
        server=server or servers.primary_address, zones=WRITABLE,
        tsig=VaultEntry(path="septem/dns/tsig"),
    )  # fmt: skip
    whole = {
        "update": update, "resolvers": (servers.resolver,), "nameserver_port": servers.port,
        "propagation_seconds": 20.0, **change,
    }  # fmt: skip
    return Dns01Settings(**whole)  # type: ignore[arg-type]


def solver_of(given: Dns01Settings, kv: MemoryKv) -> Dns01Solver:
    assert isinstance(given.update, Rfc2136Update)
    writer = Rfc2136Writer(given.update, kv)
    return Dns01Solver(given, writer, clock=monotonic_seconds, sleep=asyncio.sleep)


def challenge(host: str, token: str = "") -> Challenge:
    token = token or "a-token-of-the-ca-000"
    return Challenge(token, host, f"{token}.thumbprint", 2e9, DNS)
