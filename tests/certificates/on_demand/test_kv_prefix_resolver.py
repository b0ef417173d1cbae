"""Entries below a prefix of a real Vault: listed, read when asked for, and followed."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from demo.openbao import OpenBao
from sidecar.certificates.on_demand.domains import Registration
from sidecar.certificates.on_demand.kv_prefix_resolver import KvPrefixResolver
from sidecar.certificates.on_demand.resolved_registry import ResolvedRegistry
from sidecar.common.clock import monotonic_seconds
from sidecar.common.errors import Fault
from sidecar.common.registered_domains import NO_DOMAINS
from sidecar.config.on_demand import VaultKvPrefixRegistry
from sidecar.vault.client import VaultClient
from tests.certificates.on_demand.conftest import POLICY, Put
from tests.support.polls import Polls, running, settle
from tests.support.real import TokenFile
from tests.support.waiting import until


def prefix_registry(vault: VaultClient, polls: Polls, ttl: float = 300.0) -> ResolvedRegistry:
    settings = VaultKvPrefixRegistry(prefix="edge/domains")
    resolver = KvPrefixResolver(
        settings, vault, sleep=polls.sleep, jitter=lambda: 0.0, on_change=polls.on_change
    )
    return ResolvedRegistry(
        resolver, positive_ttl_seconds=ttl, negative_ttl_seconds=ttl, clock=monotonic_seconds
    )


@pytest.mark.real
async def test_entries_below_a_prefix_are_listed_and_read_when_asked_for(
    vault: VaultClient, put: Put, polls: Polls, openbao: OpenBao
) -> None:
    put("edge/domains/shop.example", {"tenant_id": "a"})
    put("edge/domains/_wildcard.wild.example", {"tenant_id": "b", "issuer": "internal"})
    put("edge/domains/liar.example", {"tenant_id": "a", "domain": "bank.example"})
    calls: list[str] = []
    vault._observe = lambda operation, _outcome, _seconds: calls.append(operation)
    registry = prefix_registry(vault, polls)
    task = await running(registry)
    assert calls == ["kv_list"], "no entry is read before its domain is asked for"
    assert registry.find("unknown.example") is None, "refused from memory"
    assert await settle(registry, "shop.example") == Registration("shop.example", "a")
    assert await settle(registry, "x.wild.example") == Registration(
        "*.wild.example", "b", "internal"
    )
    await settle(registry, "y.wild.example")
    assert calls == ["kv_list", "kv_read", "kv_read"], "and remembered"
    with pytest.raises(Fault, match="another domain"):
        await registry.resolve("liar.example")
    put("edge/domains/late.example", {"tenant_id": "a"})
    assert registry.find("late.example") is None
    await polls.poll()
    assert polls.changes == 1
    assert await settle(registry, "late.example")
    openbao.client.secrets.kv.v2.delete_metadata_and_all_versions("edge/domains/late.example")
    await polls.poll()
    assert registry.find("late.example") is None
    openbao.client.secrets.kv.v2.delete_latest_version_of_secret("edge/domains/shop.example")
    other = prefix_registry(vault, polls)
    await other.start()
    assert await settle(other, "shop.example") is None, "deleted, though still listed"
    task.cancel()


@pytest.mark.real
async def test_below_another_tenants_entry_nothing_is_served(
    vault: VaultClient, put: Put, polls: Polls
) -> None:
    put("edge/domains/upper.example", {"tenant_id": "a"})
    put("edge/domains/x.upper.example", {"tenant_id": "b"})
    registry = prefix_registry(vault, polls)
    await registry.start()
    with pytest.raises(Fault, match="domain_of_other_tenant"):
        await settle(registry, "x.upper.example")
    assert await settle(registry, "upper.example")


@pytest.mark.real
async def test_whose_the_domains_below_a_prefix_are_is_published_as_they_are_asked_for(
    vault: VaultClient, put: Put, polls: Polls, openbao: OpenBao
) -> None:
    put("edge/domains/owned.example", {"tenant_id": "a"})
    put("edge/domains/own-held.example", {"tenant_id": "c"})
    put("edge/domains/own-plat.example", {"tenant_id": "p", "shared": True})
    now, published = [0.0], [NO_DOMAINS]
    naps: asyncio.Queue[None] = asyncio.Queue()

    async def nap(_seconds: float) -> None:
        await naps.get()

    async def tick() -> None:
        naps.put_nowait(None)
        for _ in range(100):
            await asyncio.sleep(0.005)
            if naps.empty() and not registry._wanted:
                return

    def owner_of(host: str) -> str | None:
        return published[-1].owner_of(host)

    resolver = KvPrefixResolver(
        VaultKvPrefixRegistry(prefix="edge/domains"), vault, sleep=polls.sleep, jitter=lambda: 0.0
    )
    registry = ResolvedRegistry(
        resolver,
        positive_ttl_seconds=300,
        negative_ttl_seconds=10,
        clock=lambda: now[0],
        sleep=nap,
        publish=published.append,
    )

    async def changed() -> None:
        registry.drop_unlisted()

    resolver.on_change = changed
    task = await running(registry)
    await settle(registry, "owned.example")
    await settle(registry, "own-plat.example")
    assert (owner_of("www.owned.example"), owner_of("own-plat.example")) == ("a", None)
    assert owner_of("own-held.example") is None, "nobody has asked yet"
    registry.want("own-held.example")
    registry.want("stranger.example")
    await tick()
    await until(lambda: owner_of("own-held.example") == "c")
    # It is given to another: known when its time is over, though no client asks.
    put("edge/domains/owned.example", {"tenant_id": "b"})
    await tick()
    assert owner_of("owned.example") == "a"
    now[0] += 301
    await tick()
    await until(lambda: owner_of("owned.example") == "b")
    openbao.client.secrets.kv.v2.delete_metadata_and_all_versions("edge/domains/owned.example")
    await registry.refresh()
    assert owner_of("owned.example") is None, "an entry that is gone ends with the next list"
    assert owner_of("own-held.example") == "c"
    task.cancel()


async def looked_up(
    vault: VaultClient, put: Put, openbao: OpenBao, names: list[str]
) -> KvPrefixResolver:
    """A resolver of domains that are there and were read, and no others are."""
    prefix = "edge/domains"
    kv = openbao.client.secrets.kv.v2
    for key in await vault.list_kv("secret", prefix):
        kv.delete_metadata_and_all_versions(f"{prefix}/{key}")
    for name in names:
        put(f"{prefix}/{name}", {"tenant_id": "a"})
    resolver = KvPrefixResolver(
        VaultKvPrefixRegistry(prefix=prefix), vault, sleep=asyncio.sleep, jitter=lambda: 0.0
    )
    await resolver.start()
    for name in names:
        await resolver.look_up(name)
    return resolver


Kv = Any
AFTER: list[tuple[str, Callable[[Kv, str], object]]] = [
    ("rewritten", lambda kv, path: kv.create_or_update_secret(path, {"tenant_id": "b"})),
    ("deleted", lambda kv, path: kv.delete_latest_version_of_secret(path)),
    ("destroyed", lambda kv, path: kv.destroy_secret_versions(path, [1])),
    ("removed", lambda kv, path: kv.delete_metadata_and_all_versions(path)),
]


@pytest.mark.real
@pytest.mark.parametrize("change", [row[1] for row in AFTER], ids=[row[0] for row in AFTER])
async def test_which_entries_are_as_they_were_read_is_told_in_one_call(
    vault: VaultClient,
    put: Put,
    openbao: OpenBao,
    change: Callable[[Kv, str], object],
) -> None:
    names = [f"{uuid4().hex}.same.example" for _ in range(3)]
    resolver = await looked_up(vault, put, openbao, names)
    assert set(await resolver.unchanged()) == set(names)
    change(openbao.client.secrets.kv.v2, f"edge/domains/{names[0]}")
    assert set(await resolver.unchanged()) == set(names[1:])
    with suppress(Fault):
        await resolver.look_up(names[0])
    put(f"edge/domains/{names[0]}", {"tenant_id": "c"})
    assert names[0] not in await resolver.unchanged(), "written anew since it was read"


@pytest.mark.real
@pytest.mark.parametrize("bound", ["_LISTED_PER_READ", "MAX_LISTED_WITH_VERSIONS"])
async def test_a_list_that_is_not_worth_it_is_not_asked_for(
    vault: VaultClient, put: Put, openbao: OpenBao, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    resolver = await looked_up(vault, put, openbao, [f"{uuid4().hex}.worth.example"])
    monkeypatch.setattr(f"sidecar.certificates.on_demand.kv_prefix_resolver.{bound}", 0)
    calls: list[str] = []
    vault._observe = lambda operation, _outcome, _seconds: calls.append(operation)
    assert list(await resolver.unchanged()) == []
    assert calls == []


@pytest.mark.real
async def test_without_the_right_to_it_each_entry_is_read(
    vault: VaultClient, put: Put, openbao: OpenBao, token_file: TokenFile
) -> None:
    resolver = await looked_up(vault, put, openbao, [f"{uuid4().hex}.right.example"])
    without = "\n".join(line for line in POLICY.splitlines() if "detailed" not in line)
    token_file.write(openbao.token_for(without, name="domains-less"))
    assert list(await resolver.unchanged()) == []
