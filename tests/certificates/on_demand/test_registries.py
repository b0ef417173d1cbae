"""Registries in a file and in a real Vault: read at start, and again when they change."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from demo.openbao import OpenBao
from sidecar.certificates.on_demand.domains import Registration, RegistryFault, Unresolved
from sidecar.certificates.on_demand.kv_prefix_resolver import KvPrefixResolver
from sidecar.certificates.on_demand.registries import FileSource, KvSource, ListedRegistry
from sidecar.certificates.on_demand.resolved_registry import ResolvedRegistry
from sidecar.common.clock import monotonic_seconds
from sidecar.common.errors import Fault
from sidecar.common.registered_domains import NO_DOMAINS, RegisteredDomains
from sidecar.config.on_demand import FileRegistry, VaultKvPrefixRegistry, VaultKvRegistry
from sidecar.vault.client import VaultClient
from tests.support.real import TokenFile
from tests.support.waiting import until

DOCUMENT = Path(__file__).parents[3] / "docs/on-demand.md"
(POLICY,) = re.findall(r"```hcl\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def domains(*names: str) -> list[dict[str, str]]:
    return [{"domain": name, "tenant_id": "a"} for name in names]


class Polls:
    """A poll a step, and what was told of them."""

    def __init__(self) -> None:
        self.changes = 0
        self._step = asyncio.Event()
        self._slept = asyncio.Event()

    async def sleep(self, _: float) -> None:
        self._slept.set()
        await self._step.wait()
        self._step.clear()

    async def on_change(self) -> None:
        self.changes += 1

    async def poll(self) -> None:
        await self._slept.wait()
        self._slept.clear()
        self._step.set()
        await self._slept.wait()


async def running(registry: Any) -> asyncio.Task[None]:
    await registry.start()
    return asyncio.create_task(registry.run())


@pytest.fixture
async def polls() -> Polls:
    return Polls()


def file_registry(path: Path, polls: Polls) -> ListedRegistry:
    return ListedRegistry(
        FileSource(FileRegistry(path=str(path))), 1.0, sleep=polls.sleep, on_change=polls.on_change
    )


WRITTEN: list[tuple[str, str]] = [
    ("JSON", json.dumps({"domains": domains("shop.example")})),
    ("a bare list", json.dumps(domains("shop.example"))),
    ("YAML", "domains:\n  - {domain: shop.example, tenant_id: a}\n"),
]


@pytest.mark.parametrize("text", [w[1] for w in WRITTEN], ids=[w[0] for w in WRITTEN])
async def test_a_file(tmp_path: Path, polls: Polls, text: str) -> None:
    path = tmp_path / "domains"
    path.write_text(text)
    registry = file_registry(path, polls)
    await registry.start()
    assert registry.find("shop.example") == Registration("shop.example", "a")
    assert registry.find("other.example") is None


async def test_a_file_is_read_again_only_when_it_changes(
    tmp_path: Path, polls: Polls, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "domains.json"
    path.write_text(json.dumps(domains("shop.example")))
    registry = file_registry(path, polls)
    task = await running(registry)
    await polls.poll()
    assert polls.changes == 0
    path.write_text(json.dumps(domains("shop.example", "new.example")))
    await polls.poll()
    assert polls.changes == 1
    assert registry.find("new.example")
    for wrong in ("{", "domains: [", json.dumps({"x": 1}), "\x00"):
        path.write_text(wrong)
        for _ in range(3):
            await polls.poll()
        assert registry.find("new.example"), "what can't be read displaces nothing"
    path.unlink()
    await polls.poll()
    assert registry.find("new.example")
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert 2 <= len(errors) <= 5, "each trouble is told once"
    path.write_text(json.dumps(domains("last.example")))
    await polls.poll()
    assert (polls.changes, len(registry)) == (2, 1)
    assert registry.outcomes["failed"] >= 5
    task.cancel()


@pytest.mark.parametrize("text", [None, "{", "7"])
async def test_without_a_registry_there_is_no_start(
    tmp_path: Path, polls: Polls, text: str | None
) -> None:
    path = tmp_path / "domains.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RegistryFault, match=r"domains\.json"):
        await file_registry(path, polls).start()


@pytest.fixture
async def vault(openbao: OpenBao, token_file: TokenFile) -> AsyncIterator[VaultClient]:
    token_file.write(openbao.token_for(POLICY, name="domains"))
    client = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    yield client
    await client.close()


Put = Callable[[str, dict[str, Any]], None]


@pytest.fixture
def put(openbao: OpenBao) -> Put:
    def write(path: str, data: dict[str, Any]) -> None:
        openbao.client.secrets.kv.v2.create_or_update_secret(path, data)

    return write


@pytest.mark.real
async def test_one_entry_of_vault(vault: VaultClient, put: Put, polls: Polls) -> None:
    put("edge/list", {"domains": domains("shop.example")})
    source = KvSource(VaultKvRegistry(path="edge/list"), vault)
    registry = ListedRegistry(source, 1.0, sleep=polls.sleep, on_change=polls.on_change)
    task = await running(registry)
    assert registry.find("shop.example")
    await polls.poll()
    assert polls.changes == 0
    put("edge/list", {"domains": domains("new.example")})
    await polls.poll()
    assert polls.changes == 1
    assert registry.find("shop.example") is None
    assert registry.find("new.example")
    task.cancel()


def prefix_registry(vault: VaultClient, polls: Polls, ttl: float = 300.0) -> ResolvedRegistry:
    settings = VaultKvPrefixRegistry(prefix="edge/domains")
    resolver = KvPrefixResolver(settings, vault, sleep=polls.sleep, on_change=polls.on_change)
    return ResolvedRegistry(
        resolver, positive_ttl_seconds=ttl, negative_ttl_seconds=ttl, clock=monotonic_seconds
    )


async def settle(registry: ResolvedRegistry, name: str) -> Registration | None:
    found = registry.find(name)
    if isinstance(found, Unresolved):
        await registry.resolve(name)
        found = registry.find(name)
    assert not isinstance(found, Unresolved)
    return found


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
async def test_whose_the_domains_of_an_entry_are_is_published_with_every_change(
    vault: VaultClient, put: Put, polls: Polls, openbao: OpenBao
) -> None:
    put("edge/list", {"domains": domains("shop.example", "second.example")})
    published: list[RegisteredDomains] = []
    source = KvSource(VaultKvRegistry(path="edge/list"), vault)
    registry = ListedRegistry(
        source, 1.0, sleep=polls.sleep, on_change=polls.on_change, publish=published.append
    )
    task = await running(registry)
    assert [published[-1].owner_of(f"{each}.example") for each in ("shop", "second")] == ["a", "a"]
    count = len(published)
    await polls.poll()
    assert len(published) == count, "nothing new, nothing published"
    # Removed and made anew it counts from one again: the same number, another content.
    openbao.client.secrets.kv.v2.delete_metadata_and_all_versions("edge/list")
    for _ in range(count):
        put("edge/list", {"domains": [{"domain": "shop.example", "tenant_id": "b"}]})
    await polls.poll()
    assert published[-1].owner_of("www.shop.example") == "b"
    assert published[-1].owner_of("second.example") is None
    put("edge/list", {"domains": "rubbish"})
    await polls.poll()
    assert published[-1].owner_of("shop.example") == "b", "what can't be read displaces nothing"
    assert registry.status.problem
    task.cancel()


async def test_owners_that_could_not_be_published_are_with_the_next_poll(
    tmp_path: Path, polls: Polls
) -> None:
    """Workers must not go without what nobody could tell them, while all looks well."""
    path = tmp_path / "domains.json"
    path.write_text(json.dumps(domains("shop.example")))
    published: list[RegisteredDomains] = []
    fails = [ValueError("a defect"), ValueError("a defect")]

    def publish(owners: RegisteredDomains) -> None:
        if fails and owners.owner_of("second.example"):
            raise fails.pop()
        published.append(owners)

    registry = ListedRegistry(
        FileSource(FileRegistry(path=str(path))),
        1.0,
        sleep=polls.sleep,
        on_change=polls.on_change,
        publish=publish,
    )
    task = await running(registry)
    path.write_text(json.dumps(domains("shop.example", "second.example")))
    for _ in range(2):
        await polls.poll()
        assert "ValueError" in registry.status.problem
    await polls.poll()
    assert registry.status.problem == ""
    assert published[-1].owner_of("second.example") == "a"
    task.cancel()


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
        VaultKvPrefixRegistry(prefix="edge/domains"), vault, sleep=polls.sleep
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
