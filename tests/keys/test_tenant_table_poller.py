"""One issuer's table of tenants in Vault: what changes it, and what never does."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from sidecar.keys.tenant_table_poller import TenantTablePoller
from sidecar.tokens.mapping import TableSource
from sidecar.tokens.tenant_tables import TenantTableFault
from sidecar.vault.errors import VaultNotFound

ONE = "6b1f2c1e-0000-4000-8000-000000000001"
TWO = "6b1f2c1e-0000-4000-8000-000000000002"
SOURCE = TableSource("https://iam.example", "kv", "iam/tenants")


class StoredTable(NamedTuple):
    data: Mapping[str, Any]
    version: int = 1

    @property
    def written_at(self) -> float:
        return float(self.version)


class TableEntry:
    """The entry, or why it can't be read; and what was published of it."""

    def __init__(self) -> None:
        self.answer: StoredTable | Exception = StoredTable({"acme": ONE})
        self.published: list[Mapping[str, str]] = []
        self.fault: Exception | None = None
        self.poller = TenantTablePoller(
            SOURCE, self, poll_seconds=1, jitter=lambda: 0.5, publish=self._publish
        )

    async def read_kv(self, mount: str, path: str) -> StoredTable:
        assert (mount, path) == ("kv", "iam/tenants")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def _publish(self) -> None:
        if self.fault is not None:
            raise self.fault
        self.published.append(self.poller.table)


async def test_each_change_is_published_once() -> None:
    entry = TableEntry()
    await entry.poller.load()
    await entry.poller.refresh()
    assert entry.published == [{"acme": ONE}]
    entry.answer = StoredTable({"acme": ONE}, 2)
    await entry.poller.refresh()
    assert len(entry.published) == 1, "written again, and the same"
    entry.answer = StoredTable({}, 3)
    await entry.poller.refresh()
    assert entry.published[1:] == [{}], "no word is left"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (OSError("gone"), "OSError"),
        (VaultNotFound("deleted"), "Vault entry kv/iam/tenants is not there; write it"),
        (StoredTable({"acme": ONE, "b": "x"}, 2), "the value of 'b' is no tenant id"),
        (StoredTable({"acme": TWO}, 0), "does a standby lag behind its leader?"),
    ],
    ids=["away", "deleted", "one word is wrong", "older than what was read"],
)
async def test_what_can_not_be_read_changes_nothing_and_is_said_once(
    answer: StoredTable | Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    entry = TableEntry()
    await entry.poller.load()
    entry.answer = answer
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            await entry.poller.refresh()
    assert (entry.poller.table, len(entry.published)) == ({"acme": ONE}, 1)
    assert said in entry.poller.status.problem
    (line,) = caplog.messages
    assert "the table read before stays in force" in line
    assert "the tenants of https://iam.example" in line or "kv/iam/tenants" in line
    entry.answer = StoredTable({"acme": TWO}, 3)
    await entry.poller.refresh()
    assert entry.published[-1] == {"acme": TWO}
    assert entry.poller.status.problem == ""


async def test_the_first_read_must_succeed() -> None:
    entry = TableEntry()
    entry.answer = StoredTable({"acme": "x"})
    with pytest.raises(TenantTableFault, match="kv/iam/tenants: the value of 'acme'"):
        await entry.poller.load()
    assert entry.published == []


async def test_what_could_not_be_published_is_published_by_the_next_poll() -> None:
    entry = TableEntry()
    await entry.poller.load()
    entry.answer, entry.fault = StoredTable({"acme": TWO}, 2), RuntimeError("no memory")
    await entry.poller.refresh()
    assert "RuntimeError" in entry.poller.status.problem
    entry.fault = None
    await entry.poller.refresh()
    assert entry.published == [{"acme": ONE}, {"acme": TWO}]
