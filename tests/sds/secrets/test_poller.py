"""Polled secrets through good and bad times, with a clock that obeys."""

import asyncio
from collections.abc import Callable

import pytest

from sidecar.common.errors import Fault
from sidecar.observability.alerts import Alerts
from sidecar.sds.secrets.component import alert_state
from sidecar.sds.secrets.poller import SecretPoller, SourceStatus, StatusChange
from sidecar.sds.secrets.source import SecretFault, SecretSource, VersionedValue


class Scripted:
    """A source that gives what it is told to."""

    kind = "trust_bundle"

    def __init__(self, name: str, world: "World") -> None:
        self.name = name
        self.world = world
        self.next: Callable[[], VersionedValue[str]] = lambda: VersionedValue("one", "1", 60.0)
        self.reads: list[float] = []

    async def fetch(self) -> VersionedValue[str]:
        self.reads.append(self.world.now)
        return self.next()


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.published: list[tuple[str, str]] = []
        self.changes: list[StatusChange] = []
        self.source, self.other = Scripted("a", self), Scripted("b", self)
        self.poller = SecretPoller(
            [self.source, self.other], now=lambda: self.now, sleep=self.sleep,
            jitter=lambda: 0.0, publish=self.publish, on_state=self.changes.append,
        )  # fmt: skip

    def publish(self, source: SecretSource[str], value: VersionedValue[str]) -> None:
        self.published.append((source.name, value.value))

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            await asyncio.sleep(0)

    async def pass_until(self, moment: float) -> None:
        task = asyncio.create_task(self.poller.run())
        while self.now < moment:
            for _ in range(10):
                await asyncio.sleep(0)
            self.now += 1.0
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def fails(exc: Exception) -> Callable[[], VersionedValue[str]]:
    def fail() -> VersionedValue[str]:
        raise exc

    return fail


async def test_what_does_not_change_is_published_once() -> None:
    world = World()
    await world.poller.load()
    await world.pass_until(1300.0)
    assert world.published == [("a", "one"), ("b", "one")]
    assert [at - 1000 for at in world.source.reads][:5] == [0, 60, 120, 180, 240]


async def test_a_change_is_published_and_only_that() -> None:
    world = World()
    await world.poller.load()
    world.source.next = lambda: VersionedValue("two", "2", 60.0)
    await world.pass_until(1100.0)
    assert world.published[2:] == [("a", "two")]


async def test_a_failure_keeps_the_last_value_and_is_reported_once() -> None:
    world = World()
    await world.poller.load()
    world.changes.clear()
    world.source.next = fails(Fault("Vault is away"))
    await world.pass_until(1500.0)
    assert len(world.published) == 2
    assert [change.after for change in world.changes] == [SourceStatus.STALE]
    assert world.poller.secrets[0].outcomes == {"ok": 1, "Fault": len(world.source.reads) - 1}
    gaps = [b - a for a, b in zip(world.source.reads, world.source.reads[1:], strict=False)]
    assert gaps[:4] == [60, 2, 4, 8], "it tries again soon, and then less often"
    assert max(gaps) == 60
    assert world.poller.secrets[1].state is SourceStatus.FRESH, "the other one goes on"
    world.source.next = lambda: VersionedValue("one", "1", 60.0)
    await world.pass_until(1600.0)
    assert [change.after for change in world.changes][1:] == [SourceStatus.FRESH]
    assert len(world.published) == 2, "it is the same as before"


async def test_what_ends_meanwhile_is_critical() -> None:
    world = World()
    world.source.next = lambda: VersionedValue("one", "1", 60.0, ends_at=1200.0)
    await world.poller.load()
    world.source.next = fails(Fault("Vault is away"))
    await world.pass_until(1400.0)
    assert [change.after for change in world.changes if change.name == "a"] == [
        SourceStatus.FRESH, SourceStatus.STALE, SourceStatus.ENDED,
    ]  # fmt: skip
    alerts = Alerts(lambda: world.now, with_webhook=True)
    for change in world.changes:
        alert_state(alerts, change)
    said = [(e["data"]["severity"], e["subject"], e["data"]["message"]) for e in alerts.queue]
    assert said == [
        ("warning", "trust_bundle/a", "trust bundle 'a' can't be refreshed: Vault is away"),
        ("critical", "trust_bundle/a",
         "trust bundle 'a' has ended: peers are denied: Vault is away"),
    ]  # fmt: skip


async def test_without_a_first_value_there_is_no_start() -> None:
    world = World()
    world.other.next = fails(Fault("permission denied"))
    with pytest.raises(Fault, match="permission denied"):
        await world.poller.load()


async def test_a_defect_in_one_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    await world.poller.load()
    world.source.next = fails(ZeroDivisionError("secret words"))
    world.other.next = lambda: VersionedValue("two", "2", 60.0)
    await world.pass_until(1200.0)
    assert ("b", "two") in world.published
    assert world.poller.secrets[0].outcomes["unexpected"] > 1
    said = [
        r.getMessage() for r in caplog.records if "ZeroDivisionError in sidecar/" in r.getMessage()
    ]
    assert len(said) == 1, "once, with its place"
    assert "secret words" not in caplog.text, "and without its text"


async def test_what_cannot_be_published_is_tried_again() -> None:
    world = World()
    await world.poller.load()
    world.source.next = lambda: VersionedValue("two", "2", 60.0)
    publish = world.poller._publish
    world.poller._publish = lambda *_: fails(Fault("Envoy would refuse it"))()  # type: ignore[assignment]
    await world.pass_until(1100.0)
    assert world.poller.secrets[0].held == VersionedValue("one", "1", 60.0)
    world.poller._publish = publish
    await world.pass_until(1200.0)
    assert ("a", "two") in world.published


async def test_a_reload_reads_what_is_new_and_publishes_it_with_the_rest_of_the_file() -> None:
    world = World()
    await world.poller.load()
    world.published.clear()
    fresh = Scripted("c", world)
    prepared = await world.poller.prepare([world.source, fresh])
    assert world.published == []
    world.poller.adopt(prepared)
    assert world.published == [("c", "one")]
    assert len(world.source.reads) == 1, "what stays is not read again"
    await world.pass_until(1070.0)
    assert (len(world.source.reads), len(fresh.reads), len(world.other.reads)) == (2, 2, 1)


async def test_one_that_can_not_be_read_leaves_the_others_as_they_were() -> None:
    world = World()
    await world.poller.load()
    fresh = Scripted("c", world)
    fresh.next = fails(SecretFault("no text"))
    with pytest.raises(SecretFault, match="no text"):
        await world.poller.prepare([fresh])
    assert [each.source.name for each in world.poller.secrets] == ["a", "b"]
