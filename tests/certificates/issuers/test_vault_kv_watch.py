"""Which stored certificates are read again: those whose version is another than the one read."""

import asyncio
from typing import Any

import pytest

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.vault_kv import KvIssuer
from sidecar.certificates.issuers.vault_kv_watch import KvWatch
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.store import CertificateStore
from sidecar.config import model
from sidecar.vault.errors import VaultUnreachable
from tests.support.fleet_kv import NOW, MemoryKv
from tests.support.managed_world import Nobody
from tests.support.waiting import until

SETTINGS = model.VaultKvIssuer(name="stored", prefix="tls", poll_seconds=7.0)


class World:
    """A manager of two certificates of the issuer, and of one of another issuer."""

    def __init__(self) -> None:
        self.vault = MemoryKv()
        self.issuer = KvIssuer(SETTINGS, self.vault, lambda: NOW)
        self.slept: list[float] = []
        self.may_poll = asyncio.Event()
        orders: list[tuple[Order, Any]] = [
            (Order("a", ("a.example",)), self.issuer), (Order("b", ("b.example",)), self.issuer),
            (Order("other", ("c.example",)), Nobody()),
        ]  # fmt: skip
        self.manager = CertificateManager(
            orders, CertificateStore(lambda: NOW),
            now=lambda: NOW, sleep=self.sleep, jitter=lambda: 0.0,
        )  # fmt: skip
        for each in self.manager:
            each.try_at = NOW + 1000
        self.watch = KvWatch(self.issuer, sleep=self.sleep, jitter=lambda: 0.0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.may_poll.wait()
        self.may_poll.clear()

    def due(self) -> list[str]:
        return [each.name for each in self.manager if each.try_at == NOW]


VERSIONS = [
    ("neither is there", 0, 0, {}, []),
    ("as it was read", 3, 2, {"a": 3, "b": 2}, []),
    ("one is newer", 3, 2, {"a": 2, "b": 2}, ["a"]),
    ("made anew, it counts from one", 1, 2, {"a": 3, "b": 2}, ["a"]),
    ("one that was never read", 1, 2, {"b": 2}, ["a"]),
    ("one was removed: the last one read is served", 0, 2, {"a": 3, "b": 2}, []),
]


@pytest.mark.parametrize(
    ("a", "b", "read", "due"), [v[1:] for v in VERSIONS], ids=[v[0] for v in VERSIONS]
)
async def test_which_are_read_again(a: int, b: int, read: dict[str, int], due: list[str]) -> None:
    world = World()
    for name, version in (("a", a), ("b", b), ("other", 9)):
        for _ in range(version):
            world.vault.put(f"tls/{name}", {})
    world.issuer.read.update(read)
    await world.watch.look(world.manager)
    assert world.due() == due


async def test_versions_of_certificates_that_are_not_kept_are_forgotten() -> None:
    world = World()
    world.issuer.read.update({"a": 1, "gone": 4})
    await world.watch.look(world.manager)
    assert world.issuer.read == {"a": 1}


async def test_a_vault_that_is_away_is_asked_once_and_shown() -> None:
    world = World()
    world.vault.away = True
    with pytest.raises(VaultUnreachable):
        await world.watch.look(world.manager)
    polling = asyncio.create_task(world.watch.run(world.manager))
    await until(lambda: world.slept == [SETTINGS.poll_seconds])
    assert world.watch.status.outcomes == {"VaultUnreachable": 1}
    world.vault.away = False
    world.vault.put("tls/b", {})
    world.may_poll.set()
    await until(lambda: world.due() == ["b"])
    assert world.watch.status.problem == ""
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)
