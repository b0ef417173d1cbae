"""Registries in a file and in a real Vault: read at start, and again when they change."""

import json
from pathlib import Path

import pytest

from demo.openbao import OpenBao
from sidecar.certificates.on_demand.domains import Registration, RegistryFault
from sidecar.certificates.on_demand.registries import (
    MAX_YAML_BYTES,
    FileSource,
    KvSource,
    ListedRegistry,
)
from sidecar.common.registered_domains import RegisteredDomains
from sidecar.config.on_demand import FileRegistry, VaultKvRegistry
from sidecar.vault.client import VaultClient
from tests.certificates.on_demand.conftest import Put
from tests.support.polls import Polls, running


def domains(*names: str) -> list[dict[str, str]]:
    return [{"domain": name, "tenant_id": "a"} for name in names]


def file_registry(path: Path, polls: Polls) -> ListedRegistry:
    return ListedRegistry(
        FileSource(FileRegistry(path=str(path))),
        1.0,
        sleep=polls.sleep,
        jitter=lambda: 0.0,
        on_change=polls.on_change,
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


UNREAD: list[tuple[str, bytes, str]] = [
    ("YAML with a key twice", b"domains: []\ndomains: []\n", "line 2: domains: is set twice"),
    ("YAML with an alias", b"domains: &a []\nb: *a\n", "aliases are not supported"),
    ("a tenant of YAML 1.1", b"domains: [{domain: a.example, tenant_id: 0o17}]\n", ""),
    ("no text", b"\xff", "is neither JSON nor YAML in UTF-8"),
    ("too much YAML", b"# " + b"x" * MAX_YAML_BYTES, "bytes of YAML: write it as JSON"),
]


@pytest.mark.parametrize(("raw", "said"), [u[1:] for u in UNREAD], ids=[u[0] for u in UNREAD])
async def test_a_file_of_two_readings_is_not_read(
    tmp_path: Path, polls: Polls, raw: bytes, said: str
) -> None:
    path = tmp_path / "domains"
    path.write_bytes(raw)
    registry = file_registry(path, polls)
    if said:
        with pytest.raises(RegistryFault, match=said):
            await registry.start()
    else:  # a number is no tenant, however it is written
        await registry.start()
        assert len(registry) == 0


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


@pytest.mark.real
async def test_one_entry_of_vault(vault: VaultClient, put: Put, polls: Polls) -> None:
    put("edge/list", {"domains": domains("shop.example")})
    source = KvSource(VaultKvRegistry(path="edge/list"), vault)
    registry = ListedRegistry(
        source, 1.0, sleep=polls.sleep, jitter=lambda: 0.0, on_change=polls.on_change
    )
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


@pytest.mark.real
async def test_whose_the_domains_of_an_entry_are_is_published_with_every_change(
    vault: VaultClient, put: Put, polls: Polls, openbao: OpenBao
) -> None:
    put("edge/list", {"domains": domains("shop.example", "second.example")})
    published: list[RegisteredDomains] = []
    source = KvSource(VaultKvRegistry(path="edge/list"), vault)
    registry = ListedRegistry(
        source,
        1.0,
        sleep=polls.sleep,
        jitter=lambda: 0.0,
        on_change=polls.on_change,
        publish=published.append,
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
        jitter=lambda: 0.0,
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
