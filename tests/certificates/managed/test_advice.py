"""The CA says when a certificate is to be renewed, and is not followed without end."""

import pytest

from sidecar.certificates.issuers.base import RenewalAdvice
from sidecar.common.errors import Fault
from tests.support.managed_world import World
from workload.x509.material import Material


async def test_the_cas_advice_takes_precedence() -> None:
    world = World()
    world.advice = [RenewalAdvice(500.0, 100.0), RenewalAdvice(300.0, 1000.0)]
    await world.manager.obtain_all()
    await world.run_until(301.0)
    assert world.issued == 2, "asked again at 100, it said 300"
    assert world.advised[:2] == [0.0, 100.0]


async def test_advice_delays_no_renewal_requested_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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


async def test_failed_advice_delays_no_renewal() -> None:
    world = World()
    world.advice = [Fault("no answer")]
    await world.manager.obtain_all()
    await world.run_until(2500.0)
    assert world.issued == 2


class Eager(World):
    """A CA whose advice is always that the certificate was due long ago (ARI)."""

    async def advise(self, material: Material) -> RenewalAdvice | None:
        await super().advise(material)
        return RenewalAdvice(self.now - 1000.0, self.now + 10.0)


DAY = 86_400.0


async def test_advice_that_is_always_past_is_followed_once_and_then_every_few_hours() -> None:
    world = Eager()
    world.life_seconds = 90 * DAY
    await world.manager.obtain_all()
    await world.run_until(3600.0)
    assert world.issued == 2, "the CA may well know of a mass revocation: once at once"
    await world.run_until(DAY)
    assert 4 <= world.issued <= 6
