"""One stuck order holds up nothing but itself: of its issuer, of another, of another purpose."""

import asyncio
import statistics
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any

import pytest

from demo.openbao import SIDECAR_POLICY, OpenBao
from sidecar.certificates.issuers import slots
from sidecar.certificates.issuers.base import Issuer, Order
from sidecar.certificates.issuers.factory import IssuerFactory, make_solver
from sidecar.certificates.issuers.slots import OrderSlots, Purpose, purpose_of
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.vault.client import VaultClient
from tests.support.authorities import Ca
from tests.support.policies import FLEET_POLICY
from tests.support.real import TokenFile
from tests.support.waiting import until

FIRST = Order("edge", ("a.example",))
STRANGER = Order("b.example", ("b.example",), account="b.example")
RENEWAL = STRANGER._replace(replaces=Ca("ca").material(dns_names=("b.example",)))


def test_what_an_order_is_for() -> None:
    assert [purpose_of(each) for each in (FIRST, RENEWAL, STRANGER)] == list(Purpose)


async def test_each_purpose_has_slots_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "SLOTS", dict.fromkeys(Purpose, 2))
    held, over = OrderSlots(), asyncio.Event()

    async def hold(order: Order) -> None:
        async with held.hold(order):
            await over.wait()

    strangers = [asyncio.create_task(hold(STRANGER)) for _ in range(5)]
    await until(lambda: dict(held)[Purpose.ON_DEMAND] == 2)
    async with asyncio.timeout(5), held.hold(RENEWAL), held.hold(FIRST):
        assert dict(held) == {Purpose.FIRST: 1, Purpose.RENEWAL: 1, Purpose.ON_DEMAND: 2}
    over.set()
    await asyncio.gather(*strangers)
    assert dict(held) == dict.fromkeys(Purpose, 0), "a slot is given back however an order ends"


STUCK = 50
ORDERS = 100
TURNS = 4
"""The quietest of so many measurements counts: what else the machine does is not judged."""


class BlackHole:
    """A CA that takes connections and never answers."""

    def __init__(self) -> None:
        self.connections = 0
        self._over = asyncio.Event()
        self.directory = ""

    async def take(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await self._over.wait()
        writer.close()

    def end(self) -> None:
        self._over.set()


@pytest.fixture
async def black_hole() -> AsyncIterator[BlackHole]:
    hole = BlackHole()
    async with await asyncio.start_server(hole.take, "127.0.0.1", 0, backlog=256) as server:
        port = server.sockets[0].getsockname()[1]
        hole.directory = f"http://127.0.0.1:{port}/directory"
        yield hole
        hole.end()


class World:
    """One healthy issuer of Vault PKI, shared and not, beside fifty whose CA is a black hole."""

    def __init__(self, vault: VaultClient, directory: str) -> None:
        issuers: list[Any] = [
            model.VaultPkiIssuer(name="internal", role="edge", ttl_seconds=3600),
            model.VaultPkiIssuer(name="fleet", role="edge", ttl_seconds=3600, share=True),
        ]
        issuers += [
            model.AcmeIssuerSettings(
                name=f"stuck-{number}",
                directory=directory,
                account=model.VaultEntry(path=f"septem/acme/stuck-{number}"),
                agree_to_terms=True,
            )
            for number in range(STUCK)
        ]
        self.config = _config(issuers, model.CertificateStoreSettings())
        self.solver = make_solver(self.config, vault)
        self.factory = IssuerFactory(self.config, vault, self.solver)
        self.issuers = self.factory.make()
        self.manager = CertificateManager(
            [],
            CertificateStore(wall_seconds),
            now=wall_seconds,
            sleep=asyncio.sleep,
            jitter=lambda: 0.5,
        )

    async def obtain(self, name: str, issuer: Issuer) -> float:
        """Obtain a name that a stranger asked for; return the seconds it took."""
        began = perf_counter()
        await self.manager.obtain(Order(name, (name,), account="septemcore.com"), issuer)
        return perf_counter() - began


def _config(issuers: list[Any], store: model.CertificateStoreSettings) -> model.Config:
    made: Any = type("Settings", (), {"issuers": tuple(issuers), "certificate_store": store})()
    settings: model.Config = made
    return settings


async def p99(world: World, issuer: Issuer, prefix: str) -> float:
    seconds = [
        await world.obtain(f"{prefix}-{number}.septemcore.com", issuer) for number in range(ORDERS)
    ]
    return statistics.quantiles(seconds, n=100)[98]


@pytest.mark.real
@pytest.mark.quiet
async def test_fifty_that_hang_slow_a_healthy_issuer_by_less_than_two(
    openbao: OpenBao, token_file: TokenFile, black_hole: BlackHole
) -> None:
    token_file.write(openbao.token_for(SIDECAR_POLICY + FLEET_POLICY, name="slots"))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    world = World(vault, black_hole.directory)
    healthy = world.issuers["internal"]
    await p99(world, healthy, "warm")
    rest = min([await p99(world, healthy, f"rest-{turn}") for turn in range(TURNS)])
    stuck = [world.issuers[f"stuck-{number}"] for number in range(STUCK)]
    tasks = [
        asyncio.create_task(world.obtain(f"stuck-{number}.septemcore.com", issuer))
        for number, issuer in enumerate(stuck)
    ]
    try:
        await until(lambda: black_hole.connections >= STUCK)
        bound, beside = max(2 * rest, 0.02), float("inf")
        for turn in range(TURNS):
            beside = min(beside, await p99(world, healthy, f"beside-{turn}"))
            if beside <= bound:
                break
        fleet = await world.obtain("fleet.septemcore.com", world.issuers["fleet"])
        assert not any(task.done() for task in tasks), "they hang all the while"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for issuer in world.factory.acme:
            issuer.close()
    assert beside <= bound, (rest, beside)
    assert fleet < 2.0, "a shared one takes some more calls"
