"""Of ten sidecars that want a name at once, one orders it: one real OpenBao, ten real clients."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.openbao import SIDECAR_POLICY, OpenBao
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.lease import FleetFault, Leases
from sidecar.certificates.issuers.shared import SharedIssuer, order_key
from sidecar.certificates.issuers.vault_pki import PkiIssuer
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.vault.client import VaultClient
from tests.support.fleet_kv import take_lease
from tests.support.policies import FLEET_POLICY
from tests.support.real import TokenFile
from tests.support.waiting import until
from workload.x509.material import Material

pytestmark = pytest.mark.real
POLICY = SIDECAR_POLICY + FLEET_POLICY
PKI = model.VaultPkiIssuer(name="internal", role="edge", share=True, ttl_seconds=3600)
STORE = model.CertificateStoreSettings(lease_seconds=20)


class CountingCa:
    """A real CA, slowed down, that counts what is asked of it and fails when told to."""

    def __init__(self, inner: PkiIssuer) -> None:
        self.inner = inner
        self.name = inner.name
        self.orders = 0
        self.failing: Exception | None = None
        self.seconds = 0.3
        self.on_order: Callable[[], None] = lambda: None

    async def issue(self, order: Order) -> Material:
        self.orders += 1
        self.on_order()
        await asyncio.sleep(self.seconds)
        if self.failing is not None:
            raise self.failing
        return await self.inner.issue(order)


class Fleet:
    """Ten sidecars: each its own client of Vault, its own manager, its own clock's error."""

    def __init__(self, address: str, token: TokenFile, names: str) -> None:
        self.name = f"{names}.septemcore.com"
        self.order = Order(self.name, (self.name,))
        self.vaults = [
            VaultClient(token.settings(address), clock=monotonic_seconds) for _ in range(10)
        ]
        self.ca = CountingCa(PkiIssuer(PKI, self.vaults[0], wall_seconds))
        self.issuers = [self.issuer(number) for number in range(10)]
        self.stores = [CertificateStore(wall_seconds) for _ in range(10)]

    def issuer(self, number: int, store: model.CertificateStoreSettings = STORE) -> SharedIssuer:
        skew = (number - 5) * 600.0  # what a sidecar thinks the time is, must not matter
        return SharedIssuer(
            self.ca, store, self.vaults[number], holder=f"sidecar-{number}",
            now=wall_seconds, clock=lambda: monotonic_seconds() + skew,
            sleep=asyncio.sleep, jitter=random.random,
        )  # fmt: skip

    def manager(self, number: int) -> CertificateManager:
        return CertificateManager(
            [], self.stores[number],
            now=wall_seconds, sleep=asyncio.sleep, jitter=random.random,
        )  # fmt: skip

    async def obtain(self, number: int) -> Material:
        return await self.manager(number).obtain(self.order, self.issuers[number])


@pytest.fixture
def fleet(openbao: OpenBao, token_file: TokenFile, request: pytest.FixtureRequest) -> Fleet:
    token_file.write(openbao.token_for(POLICY, name="fleet"))
    return Fleet(openbao.address, token_file, request.node.name.replace("_", "-")[:50].strip("-"))


async def test_ten_that_are_asked_at_once_place_one_order(fleet: Fleet) -> None:
    got = await asyncio.gather(*(fleet.obtain(number) for number in range(10)))
    assert fleet.ca.orders == 1
    assert len({each.serial for each in got}) == 1
    assert len({each.key_pem for each in got}) == 1
    assert sum(issuer.ordered for issuer in fleet.issuers) == 1
    assert sum(issuer.found for issuer in fleet.issuers) == 9
    for store in fleet.stores:
        held = store.get(fleet.name)
        assert held is not None
        assert held.serial == got[0].serial


async def test_a_restart_orders_nothing(fleet: Fleet) -> None:
    before = await fleet.obtain(0)
    again = await fleet.issuer(1).issue(fleet.order)
    assert again == before
    assert await fleet.issuer(2).find(fleet.order) == before
    assert fleet.ca.orders == 1


async def test_ten_that_renew_place_one_order_more(fleet: Fleet) -> None:
    got = await asyncio.gather(*(fleet.obtain(number) for number in range(10)))
    orders = [fleet.order._replace(replaces=each) for each in got]
    renewed = await asyncio.gather(
        *(issuer.issue(order) for issuer, order in zip(fleet.issuers, orders, strict=True))
    )
    assert fleet.ca.orders == 2
    assert {each.serial for each in renewed}.isdisjoint({got[0].serial})
    assert len({each.serial for each in renewed}) == 1


async def test_a_failed_order_is_not_tried_nine_times_more(fleet: Fleet) -> None:
    fleet.ca.failing = Fault("the CA is out of ink")
    outcomes = await asyncio.gather(
        *(issuer.issue(fleet.order) for issuer in fleet.issuers), return_exceptions=True
    )
    assert fleet.ca.orders == 1
    assert all(isinstance(each, Fault) for each in outcomes)
    others = [each for each in outcomes if isinstance(each, FleetFault)]
    assert len(others) == 9
    assert all("out of ink" in str(each) for each in others)
    assert all(0 < (each.retry_after_seconds or 0) <= 11 for each in others)


async def test_what_a_ca_asks_to_wait_the_fleet_waits(fleet: Fleet) -> None:
    slow_down = Fault("rateLimited: too many certificates")
    slow_down.retryable, slow_down.retry_after_seconds = True, 5000.0
    fleet.ca.failing = slow_down
    with pytest.raises(Fault):
        await fleet.issuers[0].issue(fleet.order)
    with pytest.raises(FleetFault) as waiting:
        await fleet.issuers[1].issue(fleet.order)
    assert 4900 < (waiting.value.retry_after_seconds or 0) <= 5001
    assert fleet.ca.orders == 1


async def test_a_holder_that_dies_is_taken_over_when_its_lease_ends(fleet: Fleet) -> None:
    short = model.CertificateStoreSettings(lease_seconds=2, order_seconds=60)
    leases = Leases(fleet.vaults[9], "secret", holder="dead", seconds=2)
    path = f"{short.prefix}/leases/internal/{order_key(fleet.order)}"
    assert await take_lease(leases, path) is not None
    began = monotonic_seconds()
    material = await fleet.issuer(0, short).issue(fleet.order)
    assert 0.9 < monotonic_seconds() - began < 5
    assert fleet.ca.orders == 1
    assert material.names == (fleet.name,)


async def test_an_order_takes_longer_than_a_lease_and_nobody_else_orders(fleet: Fleet) -> None:
    short = model.CertificateStoreSettings(lease_seconds=1, order_seconds=60)
    fleet.ca.seconds = 3.0
    first, second = fleet.issuer(0, short), fleet.issuer(1, short)
    got = await asyncio.gather(first.issue(fleet.order), second.issue(fleet.order))
    assert fleet.ca.orders == 1
    assert got[0] == got[1]


async def test_an_order_that_takes_too_long_is_cancelled(fleet: Fleet) -> None:
    fleet.ca.seconds = 30
    issuer = fleet.issuer(0, model.CertificateStoreSettings(order_seconds=1))
    with pytest.raises(FleetFault, match=r"longer than certificate_store\.order_seconds"):
        await issuer.issue(fleet.order)


async def test_who_waits_for_a_lease_holds_no_slot_and_says_so(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    leases = Leases(fleet.vaults[9], "secret", holder="dead", seconds=60)
    assert (
        await take_lease(leases, f"{STORE.prefix}/leases/internal/{order_key(fleet.order)}")
        is not None
    )
    issuer = fleet.issuer(0)
    waiting = asyncio.create_task(issuer.issue(fleet.order))
    await until(lambda: "waiting for the lease internal/" in caplog.text)
    await until(lambda: not any(dict(issuer.slots).values()))
    other = Order("beside", ("beside-a-lease.septemcore.com",))
    assert (await issuer.issue(other)).names == other.dns_names
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_what_is_stored_is_checked_again(fleet: Fleet, openbao: OpenBao) -> None:
    good = await fleet.obtain(0)
    path = f"{STORE.prefix}/certificates/internal/{order_key(fleet.order)}"
    kv = openbao.client.secrets.kv.v2
    other = await fleet.ca.inner.issue(fleet.order)
    fields = {"certificate": good.chain_pem.decode(), "private_key": other.key_pem.decode()}
    kv.create_or_update_secret(path, fields)
    fresh = await fleet.issuers[1].issue(fleet.order)
    assert fresh.serial not in {good.serial, other.serial}
    assert fleet.ca.orders == 2
    assert await fleet.issuers[2].issue(fleet.order) == fresh
    kv.delete_metadata_and_all_versions(path)
    assert (await fleet.issuers[3].issue(fleet.order)).serial != fresh.serial


async def test_what_is_revoked_is_not_taken_from_the_store(fleet: Fleet) -> None:
    revoked = await fleet.obtain(0)
    issuer = SharedIssuer(
        fleet.ca, STORE, fleet.vaults[1], holder="strict", now=wall_seconds,
        clock=monotonic_seconds, sleep=asyncio.sleep, jitter=random.random,
        is_revoked=lambda serial: serial == revoked.serial,
    )  # fmt: skip
    assert (await issuer.issue(fleet.order)).serial != revoked.serial


def texts(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.rglob("*") if path.is_file()]


async def test_no_key_is_anywhere_but_in_vault_and_in_memory(
    fleet: Fleet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await asyncio.gather(*(fleet.obtain(number) for number in range(10)))
    assert not any("PRIVATE KEY" in text for text in texts(tmp_path))
    assert "PRIVATE KEY" not in caplog.text


def test_a_place_is_of_its_names_alone() -> None:
    one = Order("edge", ("a.example", "b.example"))
    other = Order("another name", ("b.example", "a.example"))
    assert order_key(one).startswith("a.example.")
    assert order_key(one).rpartition(".")[2] == order_key(other).rpartition(".")[2]
    assert order_key(Order("x", ("*.a.example",))) == "_wildcard.a.example"
    assert order_key(Order("x", (), ("spiffe://a/b",))) != order_key(
        Order("x", (), ("spiffe://a/c",))
    )
