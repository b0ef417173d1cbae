"""Certificates over dns-01, whole: a real CA, real DNS servers, a real OpenBao."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from demo.openbao import OpenBao
from sidecar.certificates.challenges.dns01.acme_dns import AcmeDnsWriter
from sidecar.certificates.challenges.dns01.factory import make_dns01_solver
from sidecar.certificates.challenges.dns01.faults import Dns01Fault
from sidecar.certificates.issuers.acme.faults import AcmeFault
from sidecar.certificates.issuers.acme.issuer import AcmeIssuer
from sidecar.certificates.issuers.base import Order
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.config.dns01 import AcmeDnsUpdate, Dns01Settings, Rfc2136Update
from sidecar.config.vault import VaultEntry, VaultFolder
from sidecar.vault.client import VaultClient
from tests.support.acme_dns_server import AcmeDnsServer, running_acme_dns
from tests.support.dns_servers import KEY, ZONE, DnsServers
from tests.support.pebble import Pebble, running_pebble
from tests.support.policies import FLEET_POLICY
from tests.support.real import TokenFile

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]


class World(NamedTuple):
    """Everything of one test."""

    dns: DnsServers
    pebble: Pebble
    vault: VaultClient
    openbao: OpenBao

    def settings(self, update: Rfc2136Update | AcmeDnsUpdate | None = None) -> Dns01Settings:
        by_key = Rfc2136Update(
            server=self.dns.primary_address, zones=(ZONE,), tsig=VaultEntry(path="septem/dns/tsig")
        )
        return Dns01Settings(
            update=update or by_key, resolvers=(self.dns.resolver,),
            nameserver_port=self.dns.port,
        )  # fmt: skip

    def issuer(self, settings: Dns01Settings | None = None) -> AcmeIssuer:
        dns01 = settings or self.settings()
        whole = model.AcmeIssuerSettings(
            name="public", directory=self.pebble.directory, ca_file=self.pebble.ca_file,
            account=VaultEntry(path="septem/acme/dns"), agree_to_terms=True,
            challenge="dns-01", dns=dns01,
        )  # fmt: skip
        solver = make_dns01_solver(dns01, self.vault)
        return AcmeIssuer(whole, self.vault, solver, now=wall_seconds, sleep=asyncio.sleep)

    def store(self, path: str, data: dict[str, str]) -> None:
        self.openbao.client.secrets.kv.v2.create_or_update_secret(path, data)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    openbao: OpenBao, dns_servers: DnsServers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("dns-world")
    token_file = TokenFile(folder / "token")
    token_file.write(openbao.token_for(FLEET_POLICY, name="dns"))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    with running_pebble(folder / "pebble", 1, resolver=dns_servers.ca_resolver) as pebble:
        made = World(dns_servers, pebble, vault, openbao)
        made.store("septem/dns/tsig", KEY)
        yield made
    await vault.close()


NAMES = [
    ("a name", (f"a.{ZONE}",)),
    ("a wildcard alone", (f"*.b.{ZONE}",)),
    ("a name and its wildcard", (f"c.{ZONE}", f"*.c.{ZONE}")),
    ("a customer's, by a CNAME", ("shop.customer.test", "*.shop.customer.test")),
    ("by three CNAMEs", ("far.customer.test",)),
    ("in A-labels", (f"*.xn--bcher-kva.{ZONE}",)),
]


@pytest.mark.parametrize("names", [n[1] for n in NAMES], ids=[n[0] for n in NAMES])
async def test_a_certificate_is_issued(world: World, names: tuple[str, ...]) -> None:
    issuer = world.issuer()
    material = await issuer.issue(Order(names[0], names))
    assert set(material.names) == set(names)
    assert issuer.outcomes == {"ok": 1}
    for host in {name.removeprefix("*.") for name in names}:
        for where in (f"_acme-challenge.{host}", f"{host}.{ZONE}", f"far.{ZONE}"):
            assert world.dns.values(where) == set(), where
    issuer.close()


async def test_two_sidecars_prove_one_name_at_once(world: World) -> None:
    orders = [Order("d", (f"d.{ZONE}",)), Order("*.d", (f"*.d.{ZONE}", f"d.{ZONE}"))]
    made = await asyncio.gather(*(world.issuer().issue(order) for order in orders))
    assert [len(each.names) for each in made] == [1, 2]
    assert world.dns.values(f"_acme-challenge.d.{ZONE}") == set()


async def test_a_name_that_can_not_be_proved_says_why(world: World) -> None:
    issuer, before = world.issuer(), len(world.pebble.process.lines)
    with pytest.raises(Dns01Fault, match="lead in a circle"):
        await issuer.issue(Order("x", ("circle.customer.test",)))
    assert issuer.outcomes == {"challenge": 1}
    logged = list(world.pebble.process.lines)[before:]
    assert not any("order" in line for line in logged), "the CA was asked for nothing"


async def test_addresses_are_not_proved_over_dns_01(world: World) -> None:
    with pytest.raises(AcmeFault, match="neither URIs nor addresses"):
        await world.issuer().issue(Order("x", (), ip_sans=("192.0.2.1",)))


@pytest.fixture
def acme_dns(dns_servers: DnsServers) -> Iterator[AcmeDnsServer]:
    with running_acme_dns(dns_servers) as running:
        yield running


async def test_acme_dns_proves_a_domain_and_its_wildcard(
    world: World, acme_dns: AcmeDnsServer
) -> None:
    host = "hosted.customer.test"
    world.store(f"septem/acme-dns/{host}", acme_dns.register("hosted-account"))
    accounts = VaultFolder(prefix="septem/acme-dns")
    issuer = world.issuer(world.settings(AcmeDnsUpdate(url=acme_dns.url, accounts=accounts)))
    material = await issuer.issue(Order("x", (host, f"*.{host}")))
    assert set(material.names) == {host, f"*.{host}"}


async def test_the_writer_is_the_configured_one() -> None:
    update = AcmeDnsUpdate(url="https://auth.example", accounts=VaultFolder(prefix="x"))
    solver = make_dns01_solver(Dns01Settings(update=update), vault=None)  # type: ignore[arg-type]
    assert isinstance(solver._writer, AcmeDnsWriter)
    solver.close()
