"""When certificates are renewed, with a clock that obeys."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.certificates.issuers.base import Order, RenewalAdvice
from sidecar.certificates.managed.certificate import HAND_PAUSE_SECONDS
from sidecar.certificates.managed.manager import CertificateFault, CertificateManager
from sidecar.certificates.managed.renewal import Level, level_at, next_level_at
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.errors import Fault
from workload.x509.material import Material

WANTED = Order("edge", ("a.example",))


class World:
    """A clock, and an issuer that fails when told to."""

    def __init__(self, *wanted: Order) -> None:
        wanted = wanted or (WANTED,)
        self.name = "internal"
        self.now = 0.0
        self.issued = 0
        self.failing: Exception | None = None
        self.stuck: asyncio.Event | None = None
        self.edge_seconds = 0.0
        self.there: Material | None = None
        self.advice: list[RenewalAdvice | Fault] = []
        self.advised: list[float] = []
        self.names: list[str] = []
        self.replaced: list[str | None] = []
        self.levels: list[tuple[Level, float]] = []
        self.life_seconds = 3600.0
        self.attempts = 0
        self.announced: list[float] = []
        self.slept: list[float] = []
        self.store = CertificateStore(lambda: self.now)
        self.store.watch(lambda _name: self.announced.append(self.now))
        self.manager = CertificateManager(
            [(each, self) for each in wanted], self.store,
            now=lambda: self.now, sleep=self.sleep, jitter=lambda: 0.0,
            on_level=lambda managed, _before: self.levels.append((managed.level, self.now)),
        )  # fmt: skip

    async def issue(self, order: Order) -> Material:
        self.attempts += 1
        self.names.append(order.name)
        if self.stuck is not None and order.name == "edge":
            await self.stuck.wait()
        if self.failing and (order.name != "other"):
            raise self.failing
        self.issued += 1
        self.replaced.append(order.replaces.serial if order.replaces is not None else None)
        return Material(
            chain_pem=b"", key_pem=b"", names=order.dns_names, serial=str(self.issued),
            not_before=self.now, not_after=self.now + self.life_seconds,
        )  # fmt: skip

    async def find(self, _order: Order) -> Material | None:
        return self.there

    async def advise(self, _material: Material) -> RenewalAdvice | None:
        self.advised.append(self.now)
        said = self.advice.pop(0) if self.advice else None
        if isinstance(said, Fault):
            raise said
        return said

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    async def run_until(self, moment: float) -> None:
        task = asyncio.create_task(self.manager.keep_fresh())
        while self.now < moment:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    @property
    def serial(self) -> str | None:
        material = self.store.get("edge")
        return material.serial if material else None


async def test_a_certificate_is_renewed_at_two_thirds_of_an_hour() -> None:
    world = World()
    await world.manager.obtain_all()
    await world.run_until(2500.0)
    assert world.slept[0] == 2400.0
    assert world.issued >= 2


async def test_a_failed_renewal_displaces_nothing_and_expiry_ends_it() -> None:
    world = World()
    await world.manager.obtain_all()
    world.failing = Fault("Vault is away")
    await world.run_until(3590.0)
    assert world.manager.failures > 5
    world.now = 3599.0
    assert world.serial == "1"
    world.now = 3600.0
    assert world.serial is None


async def test_a_renewal_succeeds_when_vault_is_back() -> None:
    world = World()
    await world.manager.obtain_all()
    world.failing = Fault("Vault is away")
    task = asyncio.create_task(world.manager.keep_fresh())
    while world.now < 3000:
        await asyncio.sleep(0)
    world.failing = None
    while world.issued < 2:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.store.get("edge") is not None


async def test_expiry_is_announced_when_it_happens_and_a_late_success_too() -> None:
    world = World()
    await world.manager.obtain_all()
    world.failing = Fault("Vault is away")
    world.announced.clear()
    task = asyncio.create_task(world.manager.keep_fresh())
    while world.now < 4000:
        await asyncio.sleep(0)
    assert world.announced == [3600.0]
    world.failing = None
    while world.issued < 2:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.serial is not None


async def test_a_ca_that_gives_no_time_is_not_hammered() -> None:
    world = World()
    world.life_seconds = 2.0
    await world.manager.obtain_all()
    await world.run_until(1000.0)
    assert world.attempts <= 102


async def test_a_defect_with_one_certificate_ends_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = WANTED._replace(name="other")
    world = World(WANTED, other)
    await world.manager.obtain_all()
    world.failing = ZeroDivisionError("a defect")
    await world.run_until(10_000.0)
    assert world.store.get("edge") is None
    assert world.store.get("other") is not None
    assert world.manager.failures > 0
    assert any(record.exc_info for record in caplog.records)


async def test_what_could_not_be_had_at_the_start_is_obtained_later() -> None:
    world = World()
    await world.run_until(1.0)
    assert world.serial is not None


async def test_a_start_without_certificate_names_it_and_its_issuer() -> None:
    world = World()
    world.failing = Fault("Vault is away")
    with pytest.raises(CertificateFault) as fault:
        await world.manager.obtain_all()
    assert str(fault.value) == "certificate 'edge', issuer 'internal': Vault is away"


async def test_a_start_without_a_thousand_gives_up_early() -> None:
    names = [WANTED._replace(name=f"c{number}") for number in range(1000)]
    world = World(*names)
    world.failing = Fault("Vault is away")
    with pytest.raises(CertificateFault, match=r"'c0'.*'c4'"):
        await world.manager.obtain_all()
    assert world.attempts < 20


LEVELS = [
    ("before it is due", 999.0, Level.FRESH),
    ("when it is due", 1000.0, Level.FRESH),
    ("at half of what remains", 1500.0, Level.WARNING),
    ("at a tenth", 1900.0, Level.CRITICAL),
    ("at the end", 2000.0, Level.ENDED),
]


@pytest.mark.parametrize(("now", "level"), [e[1:] for e in LEVELS], ids=[e[0] for e in LEVELS])
def test_how_bad_it_is(now: float, level: Level) -> None:
    assert level_at(1000.0, 2000.0, now) is level


@settings(deadline=None)  # a busy machine is no defect
@given(st.floats(0, 1e9), st.floats(1, 1e9), st.floats(0, 3e9))
def test_the_next_level_is_never_slept_through(due: float, left: float, now: float) -> None:
    end = due + left
    then = next_level_at(due, end, now)
    assert then == end or now < then < end
    between = now + (then - now) / 2
    if now < end:
        assert level_at(due, end, between) is level_at(due, end, now)


async def test_each_level_is_said_once_and_the_all_clear() -> None:
    world = World()
    await world.manager.obtain_all()
    world.failing = Fault("Vault is away")
    task = asyncio.create_task(world.manager.keep_fresh())
    while world.now < 5000:
        await asyncio.sleep(0)
    world.failing = None
    while world.issued < 2:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [level for level, _ in world.levels] == ["warning", "critical", "ended", "fresh"]
    warned, critical, ended = (at for _, at in world.levels[:3])
    assert warned == pytest.approx(2400 + 600, abs=1)
    assert critical == pytest.approx(2400 + 1080, abs=1)
    assert ended == 3600


async def test_a_ca_that_asks_to_wait_is_waited_for_and_the_levels_are_said_meanwhile() -> None:
    world = World()
    await world.manager.obtain_all()
    world.failing = Fault("rateLimited")
    world.failing.retry_after_seconds = 1100.0
    await world.run_until(3590.0)
    assert world.attempts == 3, "the first certificate, and two tries 1100 seconds apart"
    assert [level for level, _ in world.levels] == ["warning", "critical"]


async def test_the_cas_advice_goes_before_ours() -> None:
    world = World()
    world.advice = [RenewalAdvice(500.0, 100.0), RenewalAdvice(300.0, 1000.0)]
    await world.manager.obtain_all()
    await world.run_until(301.0)
    assert world.issued == 2, "asked again at 100, it said 300"
    assert world.advised[:2] == [0.0, 100.0]


async def test_advice_puts_off_nobody_who_asked_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator asks for a renewal while the CA is asked when that should be."""
    world = World()
    world.advice = [RenewalAdvice(2000.0, 100.0), RenewalAdvice(3000.0, 1e9)]
    await world.manager.obtain_all()
    ask = world.advise

    async def advise(material: Material) -> RenewalAdvice | None:
        if world.now >= 100.0 and world.issued == 1:
            assert world.manager.renew_by_hand("edge") == 0.0
        return await ask(material)

    monkeypatch.setattr(world, "advise", advise)
    await world.run_until(200.0)
    assert world.issued == 2


async def test_advice_that_can_not_be_had_stops_nothing() -> None:
    world = World()
    world.advice = [Fault("no answer")]
    await world.manager.obtain_all()
    await world.run_until(2500.0)
    assert world.issued == 2


async def test_one_that_was_renewed_a_moment_ago_is_replaced_at_once_when_it_is_revoked() -> None:
    """The pause between orders by hand is counted apart for renewing and for revoking."""
    world = World()
    await world.manager.obtain_all()
    managed = world.manager.get("edge")
    assert managed is not None
    assert world.manager.renew_by_hand("edge") == 0.0
    assert world.manager.renew_by_hand("edge") == 0.0, "it is on its way"
    await world.manager._obtain(managed)
    assert world.manager.renew_by_hand("edge") == HAND_PAUSE_SECONDS
    for pause in (0.0, HAND_PAUSE_SECONDS):
        world.manager.revoked_by_hand("edge")
        assert world.serial is None
        assert managed.try_at == pause, "CAs count them: one a minute"
        await world.manager._obtain(managed)
        assert world.serial is not None


async def test_what_is_revoked_is_served_no_more_and_replaced_at_once() -> None:
    world = World()
    await world.manager.obtain_all()
    task = asyncio.create_task(world.manager.keep_fresh())
    await asyncio.sleep(0)
    world.manager.revoked("edge")
    assert world.store.get("edge") is None
    world.manager.revoked("nobody")
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.serial not in {None, "1"}
    assert world.replaced[:2] == [None, "1"], "the revoked one is not taken again"


async def test_what_is_revoked_and_can_not_be_replaced_stays_out_of_service() -> None:
    world = World()
    await world.manager.obtain_all()
    world.failing = Fault("Vault is away")
    world.manager.revoked("edge")
    await world.run_until(3000.0)
    assert world.serial is None
    assert world.manager.failures > 3


async def test_a_name_obtained_on_the_way_is_kept_until_it_is_forgotten() -> None:
    world = World()
    order = Order("shop.example", ("shop.example",))
    await world.manager.obtain(order, world)
    await world.run_until(2500.0)
    assert world.names.count("shop.example") == 2, "it is renewed"
    world.manager.forget("shop.example")
    assert world.store.get("shop.example") is None
    assert world.manager.get("shop.example") is None
    await world.run_until(world.now + 9000.0)
    assert world.names.count("shop.example") == 2
    assert world.names.count("edge") > 2


async def test_names_that_come_and_go_leave_nothing_behind() -> None:
    world = World()
    await world.manager.obtain_all()
    for number in range(500):
        name = f"shop{number % 10}.example"
        await world.manager.obtain(Order(name, (name,)), world)
        world.manager.forget(name)
    assert len(world.manager._schedule) < 100, "a turn holds a key"
    world.life_seconds = 3600.0
    first = world.serial
    await world.run_until(2500.0)
    assert world.serial != first, "and what is kept has its turn still"


async def test_a_name_that_could_not_be_obtained_is_not_kept() -> None:
    world = World()
    world.failing = Fault("no")
    order = Order("shop.example", ("shop.example",))
    with pytest.raises(CertificateFault):
        await world.manager.obtain(order, world)
    assert world.manager.get("shop.example") is None


async def test_a_slow_ca_holds_up_nobody_else() -> None:
    other = WANTED._replace(name="other")
    world = World(WANTED, other)
    await world.manager.obtain_all()
    world.stuck = asyncio.Event()
    await world.run_until(2500.0)
    assert world.issued == 3, "the other was renewed while the first one hangs"


async def test_what_needs_the_edge_is_found_or_ordered_a_little_later() -> None:
    world = World()
    world.edge_seconds = 20.0
    await world.manager.obtain_all()
    assert (world.issued, world.serial) == (0, None)
    await world.run_until(21.0)
    assert world.serial == "1"
    restarted = World()
    restarted.edge_seconds = 20.0
    restarted.there = world.store.get("edge")
    await restarted.manager.obtain_all()
    assert (restarted.issued, restarted.serial) == (0, "1")
