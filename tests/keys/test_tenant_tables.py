"""The tables of a running sidecar: read at the start, polled, and exchanged by a reload."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sidecar.common.errors import Fault
from sidecar.config import model, parse_config
from sidecar.context import AppContext, PreparedPart
from sidecar.keys import tenant_tables
from sidecar.tokens.mapping import TableSource
from sidecar.tokens.tenant_tables import TenantTableFault, TenantTables
from sidecar.vault.errors import VaultNotFound
from tests.config.documents import MINIMAL
from tests.keys.test_tenant_table_poller import ONE, TWO, StoredTable
from tests.support.waiting import until

A = TableSource("https://a.example", "secret", "iam/a")
B = TableSource("https://b.example", "kv", "iam/b")


def config(*entries: str, keys: str = "") -> model.Config:
    """Return a configuration of issuers a, b …, each with its entry."""
    listed = ", ".join(
        f"{{issuer: https://{'abc'[number]}.example, audiences: [x], keys: {{path: iam/{number}}}, "
        f"claims: {{tenant: {entry}}}}}"
        for number, entry in enumerate(entries)
    )
    head, _, rest = MINIMAL.partition("  issuers:")
    return parse_config(f"{head}  issuers: [{listed}]\n{rest.partition(chr(10))[2]}{keys}", "test")


STORED_A = "{tenants_from: {path: iam/a}}"
STORED_B = "{tenants_from: {mount: kv, path: iam/b, poll_seconds: 0.1}}"
FIXED = f"{{fixed: {ONE}}}"


class TableVault:
    """Entries by mount and path, and which of them were read."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], StoredTable | Exception] = {
            ("secret", "iam/a"): StoredTable({"acme": ONE}),
            ("kv", "iam/b"): StoredTable({"acme": TWO}),
        }
        self.read: list[str] = []

    async def read_kv(self, mount: str, path: str) -> StoredTable:
        self.read.append(path)
        entry = self.entries.get((mount, path), VaultNotFound("none"))
        if isinstance(entry, Exception):
            raise entry
        return entry


class RunningTables:
    def __init__(self, settings: model.Config) -> None:
        self.context = AppContext(settings)
        self.vault = TableVault()
        self.published: list[TenantTables] = []

    async def prepare(self, settings: model.Config) -> PreparedPart:
        (prepare,) = self.context.reload_parts
        return await prepare(settings)

    async def refresh(self) -> None:
        (refresh,) = self.context.refreshers
        await refresh()

    def facts(self) -> Mapping[str, Any]:
        return {name: text for name, text in self.context.health.facts.items() if "/" in name}


@asynccontextmanager
async def running(settings: model.Config) -> AsyncIterator[RunningTables]:
    made = RunningTables(settings)
    async with made.context.stack:
        await tenant_tables.start(made.context, made.vault, made.published.append)
        yield made
    assert not made.context.failed


async def test_each_issuer_has_a_table_and_a_poll_of_its_own() -> None:
    async with running(config(STORED_A, STORED_B)) as sidecar:
        assert sidecar.published == [{A: {"acme": ONE}, B: {"acme": TWO}}]
        assert sidecar.facts() == {f"tenants/{A.issuer}": "ok", f"tenants/{B.issuer}": "ok"}
        sidecar.vault.entries["kv", "iam/b"] = StoredTable({"new": TWO}, 2)
        await until(lambda: len(sidecar.published) == 2)
        assert sidecar.published[-1] == {A: {"acme": ONE}, B: {"new": TWO}}
        assert sidecar.vault.read.count("iam/a") == 1, "as often as keys: every ten seconds"


async def test_an_operator_s_refresh_reads_all_and_shows_what_is_wrong() -> None:
    async with running(config(STORED_A)) as sidecar:
        sidecar.vault.entries["secret", "iam/a"] = StoredTable({"acme": "x"}, 2)
        await sidecar.refresh()
        assert "outage" in sidecar.facts()[f"tenants/{A.issuer}"]
        (status,) = sidecar.context.refreshed
        assert "the value of 'acme'" in status.problem
        assert len(sidecar.published) == 1


@pytest.mark.parametrize(
    "entry", [None, StoredTable({"acme": "x"}), OSError("gone")], ids=["none", "wrong", "away"]
)
async def test_without_its_table_the_sidecar_does_not_start(
    entry: StoredTable | Exception | None,
) -> None:
    made = RunningTables(config(STORED_A, FIXED))
    made.vault.entries["secret", "iam/a"] = VaultNotFound("none") if entry is None else entry
    with pytest.raises(TenantTableFault, match="secret/iam/a"):
        await tenant_tables.start(made.context, made.vault, made.published.append)
    assert made.published == []


async def test_without_such_an_issuer_nothing_is_read() -> None:
    async with running(config(FIXED)) as sidecar:
        assert (sidecar.vault.read, sidecar.published) == ([], [{}])
        assert sidecar.context.polls == []


async def test_a_reload_reads_what_is_new_before_anything_changes() -> None:
    async with running(config(STORED_A, FIXED)) as sidecar:
        part = await sidecar.prepare(config(STORED_A, STORED_B, keys="keys: {poll_seconds: 3}\n"))
        assert sidecar.vault.read == ["iam/a", "iam/b"], "what is read already is not read again"
        assert len(sidecar.published) == 1
        assert len(sidecar.context.polls) == 1
        part.adopt()
        assert sidecar.published[1:] == [{A: {"acme": ONE}, B: {"acme": TWO}}]
        assert len(sidecar.context.polls) == len(sidecar.context.refreshed) == 2
        (await sidecar.prepare(config(FIXED, STORED_B))).adopt()
        assert sidecar.published[-1] == {B: {"acme": TWO}}
        assert list(sidecar.facts()) == [f"tenants/{B.issuer}"]
        (await sidecar.prepare(config(FIXED))).adopt()
        assert sidecar.published[-1] == {}
        assert (sidecar.context.polls, sidecar.context.refreshed) == ([], [])


async def test_another_interval_applies_to_the_table_there_is() -> None:
    async with running(config(STORED_A, keys="keys: {poll_seconds: 3600}\n")) as sidecar:
        faster = "{tenants_from: {path: iam/a, poll_seconds: 0.1}}"
        (await sidecar.prepare(config(faster))).adopt()
        sidecar.vault.entries["secret", "iam/a"] = StoredTable({"new": ONE}, 2)
        await until(lambda: sidecar.published[-1] == {A: {"new": ONE}})
        assert tenant_tables.sources_of(config(faster)) == {A: 0.1}
        assert tenant_tables.sources_of(config(STORED_A)) == {A: 10}


async def test_a_table_that_can_not_be_had_refuses_the_file() -> None:
    async with running(config(STORED_A, FIXED)) as sidecar:
        sidecar.vault.entries["kv", "iam/b"] = Fault("Vault is away")
        with pytest.raises(Fault, match="Vault is away"):
            await sidecar.prepare(config(STORED_A, STORED_B))
        assert len(sidecar.context.polls) == 1
        assert sidecar.published == [{A: {"acme": ONE}}]


async def test_a_table_read_for_a_reload_that_is_given_up_is_never_published() -> None:
    async with running(config(STORED_A, FIXED)) as sidecar:
        await sidecar.prepare(config(STORED_A, STORED_B))
        sidecar.vault.entries["secret", "iam/a"] = StoredTable({}, 2)
        await sidecar.refresh()
        assert sidecar.published[1:] == [{A: {}}]
