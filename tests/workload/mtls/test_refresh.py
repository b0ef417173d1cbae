"""A certificate and a trust bundle through time, with a clock that obeys."""

import asyncio
import logging

import pytest

from workload.errors import Fault
from workload.mtls.refresh import CertificateRenewer, TrustPoller
from workload.x509.anchors import TrustAnchors
from workload.x509.material import Material

HOUR = 3600.0


class World:
    """What Vault gives, at which time, and what came of it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.fails: Exception | None = None
        self.calls = 0
        self.held: list[object] = []
        self.ends_at: float | None = None
        self.life_seconds = HOUR

    async def issue(self) -> Material:
        self._call()
        end = self.now + self.life_seconds
        return Material(b"", b"", (), f"{self.calls}", self.now, end, ())

    async def read(self) -> TrustAnchors:
        self._call()
        return TrustAnchors(b"%d" % self.calls, ends_at=self.ends_at)

    def _call(self) -> None:
        self.calls += 1
        if self.fails is not None:
            raise self.fails

    def renewer(self) -> CertificateRenewer:
        return CertificateRenewer(self.issue, self.held.append, lambda: self.now, lambda: 0.0)

    def poller(self, seconds: float = 60.0) -> TrustPoller:
        return TrustPoller(self.read, self.held.append, seconds, lambda: self.now, lambda: 0.0)


async def test_it_is_renewed_at_two_thirds_and_not_before() -> None:
    world = World()
    renewer = world.renewer()
    await renewer.load()
    world.now += HOUR * 2 / 3 - 1
    await renewer.step()
    assert world.calls == 1
    world.now += 2
    await renewer.step()
    assert (world.calls, len(world.held)) == (2, 2)
    assert renewer.due == pytest.approx(world.now + HOUR * 2 / 3)


async def test_a_failure_displaces_nothing_and_is_tried_again_later_and_later() -> None:
    world = World()
    renewer = world.renewer()
    await renewer.load()
    world.fails = Fault("Vault is away")
    waits = []
    for _ in range(4):
        world.now = max(world.now, renewer.due)
        await renewer.step()
        waits.append(renewer.due - world.now)
    assert waits == pytest.approx([10, 20, 40, 80])
    assert (len(world.held), renewer.failures_in_a_row) == (1, 4)
    world.fails, world.now = None, renewer.due
    await renewer.step()
    assert (len(world.held), renewer.failures_in_a_row) == (2, 0)


async def test_it_waits_as_long_as_it_is_told_to() -> None:
    world = World()
    renewer = world.renewer()
    world.fails = Fault("busy")
    world.fails.retry_after_seconds = 500.0
    await renewer.step()
    assert renewer.due == world.now + 500


async def test_a_defect_ends_no_loop(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    renewer = world.renewer()
    world.fails = KeyError("s.ecret")
    await renewer.step()
    assert renewer.failures_in_a_row == 1
    assert "KeyError" in caplog.text
    assert "s.ecret" not in caplog.text


async def test_it_is_said_once_and_loudly_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    renewer = world.renewer()
    await renewer.load()
    world.fails = Fault("Vault is away")
    world.now = renewer.due
    for _ in range(3):
        await renewer.step()
        world.now = renewer.due
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    world.now += HOUR
    await renewer.step()
    assert caplog.records[-1].levelno == logging.ERROR


async def test_it_is_renewed_at_once_when_asked() -> None:
    world = World()
    renewer = world.renewer()
    await renewer.load()
    task = asyncio.create_task(renewer.run())
    await asyncio.sleep(0)
    renewer.soon()
    async with asyncio.timeout(10):
        while world.calls < 2:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("ends_in", "wait"),
    [(None, 60.0), (1000.0, 60.0), (100.0, 50.0), (0.5, 1.0)],
    ids=["roots without an end", "far away", "before the next poll but one", "never without pause"],
)
async def test_trust_is_read_sooner_where_a_crl_ends(ends_in: float | None, wait: float) -> None:
    world = World()
    world.ends_at = None if ends_in is None else world.now + ends_in
    poller = world.poller()
    await poller.load()
    assert poller.due == world.now + wait


async def test_what_was_believed_is_believed_while_vault_is_away() -> None:
    world = World()
    poller = world.poller(seconds=5.0)
    await poller.load()
    world.fails = Fault("Vault is away")
    waits = []
    for _ in range(4):
        world.now = poller.due
        await poller.step()
        waits.append(poller.due - world.now)
    assert waits == [2, 4, 5, 5], "never rarer than the poll"
    assert len(world.held) == 1


async def test_however_short_a_life_there_is_a_pause() -> None:
    world = World()
    world.life_seconds = 3.0
    renewer = world.renewer()
    await renewer.load()
    assert renewer.due == world.now + 10
