"""All of it together: the audit log, its queues, the spool and sinks; outages, ends and reloads."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sidecar.common.errors import Fault
from sidecar.common.polling import PollStatus
from sidecar.config import model
from sidecar.observability.audit import AuditEntry, AuditLog
from sidecar.observability.audit.sink_set import AuditSinks
from sidecar.observability.audit.sinks import AuditFault
from tests.observability.audit.spool.test_vault_keys import TEXT, Vault
from tests.support.clickhouse_server import ClickHouseServer, serving
from tests.support.clickhouse_server import Fault as Answer
from tests.support.waiting import until, wait_until


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.observability.audit.spool.spool._RETRY_SECONDS", 0.02)
    monkeypatch.setattr("sidecar.observability.audit.spool.spool._POLL_SECONDS", 0.01)
    monkeypatch.setattr("sidecar.observability.audit.delivery._POLL_SECONDS", 0.01)
    monkeypatch.setattr("sidecar.observability.audit.sink_set._RETIRED_GRACE_SECONDS", 0.3)
    monkeypatch.setattr(
        "sidecar.observability.audit.delivery._BACKOFF",
        type("Soon", (), {"pause_seconds": staticmethod(lambda *_: 0.02)}),
    )


def entry(number: int) -> AuditEntry:
    return AuditEntry(
        at=float(number), decision_id=f"d{number}", outcome="deny", reason="token_expired",
        status=401, route="api", latency_us=42,
    )  # fmt: skip


def clickhouse(url: str, **settings: Any) -> model.ClickHouseAudit:
    wanted = {"batch_seconds": 0.02, "timeout_seconds": 1.0, **settings}
    return model.ClickHouseAudit(url=url, **wanted)


def held(by: threading.Event, request: Any) -> None:
    """Answer nothing, and hang up in the end."""
    by.wait(60)
    request.close_connection = True


def spool_in(folder: Path) -> model.AuditSpool:
    return model.AuditSpool(folder=str(folder / "spool"), key=model.TransitSpoolKey(name="audit"))


class Running:
    """An audit log with its sinks, as the component joins them."""

    def __init__(self, settings: model.Audit, vault: Any) -> None:
        self.vault = vault
        self.sinks = AuditSinks(settings)
        self.log = AuditLog(
            self.sinks.root, queue_lines=10_000, on_error=lambda _exc: None,
            unsettled=self.sinks.unsettled,
        )  # fmt: skip
        self.watched: list[PollStatus] = []
        self.count = 0
        self.lost = -1

    def write(self, count: int) -> None:
        for _ in range(count):
            self.log.record(entry(self.count))
            self.count += 1

    def exchange(self, _before: Iterable[PollStatus], after: Iterable[PollStatus]) -> None:
        self.watched = list(after)

    async def reload(self, settings: model.Audit) -> None:
        adopt, _ = await self.sinks.prepare(settings)
        before = self.sinks.settings
        adopt()
        if settings.to != before.to:
            self.log.use_sink(self.sinks.root)

    def delivery(self, name: str) -> Any:
        return self.sinks.entries[name].delivery


@asynccontextmanager
async def running(settings: model.Audit, vault: Any = None) -> AsyncIterator[Running]:
    run = Running(settings, vault or Vault())
    polls = asyncio.create_task(run.sinks.run())
    run.sinks.use_vault(run.vault, run.exchange)
    try:
        yield run
    finally:
        await asyncio.to_thread(run.log.close, 5)
        run.lost = await asyncio.to_thread(run.sinks.close, 5)
        polls.cancel()
        await asyncio.gather(polls, return_exceptions=True)


@pytest.fixture
def server() -> ClickHouseServer:
    return ClickHouseServer()


@pytest.fixture
def url(server: ClickHouseServer) -> Iterator[str]:
    with serving(server) as where:
        yield where


def file_ids(path: Path) -> list[str]:
    return [json.loads(line)["decision_id"] for line in path.read_text().splitlines()]


def ids(count: int, first: int = 0) -> list[str]:
    return [f"d{number}" for number in range(first, count)]


async def test_each_sink_of_a_list_gets_every_line(
    tmp_path: Path, server: ClickHouseServer, url: str
) -> None:
    path = tmp_path / "a.jsonl"
    settings = model.Audit(
        to=(model.FileAudit(path=str(path)), clickhouse(url)), spool=spool_in(tmp_path)
    )
    async with running(settings) as run:
        run.write(1000)
        await until(lambda: len(server.rows) == 1000)
        await until(lambda: run.log.settled == 1000)
        await until(lambda: run.delivery("clickhouse").delivered == 1000)
    assert server.ids() == file_ids(path) == ids(1000)
    assert run.lost == 0


async def test_a_sink_that_hangs_holds_up_no_other_and_no_line_of_the_spool(
    tmp_path: Path, server: ClickHouseServer, url: str
) -> None:
    path, hold = tmp_path / "a.jsonl", threading.Event()
    server.faults = [Answer(act=partial(held, hold))]
    settings = model.Audit(
        to=(clickhouse(url), model.FileAudit(path=str(path))), spool=spool_in(tmp_path)
    )
    async with running(settings) as run:
        run.write(500)
        await until(lambda: run.log.settled == 500)
        assert file_ids(path) == ids(500)
        assert server.rows == []
        assert run.delivery("clickhouse").waiting == 500
        hold.set()
    assert run.lost == 0


def has_spooled(run: Running, count: int) -> bool:
    return run.sinks.spool is not None and run.sinks.spool.spooled == count


async def test_an_outage_and_ends_of_the_process_lose_and_double_nothing(
    tmp_path: Path, server: ClickHouseServer, url: str
) -> None:
    settings = model.Audit(to=clickhouse(url), spool=spool_in(tmp_path))
    vault = Vault()
    for round_ in range(4):
        server.faults = [Answer(503), Answer(200, inserts=True), Answer(503, inserts=True)] * 50
        async with running(settings, vault) as run:
            run.count = round_ * 100
            run.write(100)
            await until(partial(has_spooled, run, 100))
        assert run.lost == 0
    server.faults = []
    async with running(settings, vault):
        await until(lambda: len(server.rows) >= 400)
    assert server.ids() == ids(400)


async def test_without_a_spool_lines_wait_in_memory_and_their_loss_is_told(
    server: ClickHouseServer, url: str
) -> None:
    server.faults = [Answer(503)] * 1000
    async with running(model.Audit(to=clickhouse(url))) as run:
        run.write(10)
        await until(lambda: run.delivery("clickhouse").problem)
        assert run.log.settled == 0
    assert run.lost == 10


async def test_a_full_queue_drops_for_its_sink_alone(
    tmp_path: Path, server: ClickHouseServer, url: str
) -> None:
    path, hold = tmp_path / "a.jsonl", threading.Event()
    server.faults = [Answer(act=partial(held, hold))]
    sinks = (clickhouse(url, timeout_seconds=60.0), model.FileAudit(path=str(path)))
    async with running(model.Audit(to=sinks, queue_lines=16)) as run:
        for number in range(1, 21):
            run.write(1)
            await until(partial(has_lines, path, number))
        intake = run.sinks.entries["clickhouse"].intake
        assert intake is not None
        assert (intake.waiting, intake.dropped) == (16, 4)
        assert run.log.settled == 20, "it is in the file"
        hold.set()


def has_lines(path: Path, count: int) -> bool:
    return len(file_ids(path)) == count


async def test_a_file_alone_is_written_to_directly(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    async with running(model.Audit(to=model.FileAudit(path=str(path)))) as run:
        assert run.sinks.entries["file"].delivery is None
        run.write(3)
        await until(lambda: run.log.settled == 3)
    assert file_ids(path) == ids(3)


async def test_rotation_reaches_the_files_of_a_list(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    sinks = (model.FileAudit(path=str(one)), model.FileAudit(path=str(two), name="two"))
    async with running(model.Audit(to=sinks)) as run:
        run.write(5)
        await until(lambda: run.log.settled == 5)
        for each in (one, two):
            each.rename(each.with_suffix(".old"))
        run.log.reopen()
        run.write(5)
        await until(lambda: two.exists() and len(file_ids(two)) == 5)
    assert file_ids(one) == file_ids(two) == ids(10, 5)


async def test_a_reload_exchanges_sinks_and_loses_no_line(
    tmp_path: Path, server: ClickHouseServer, url: str
) -> None:
    """One file, then a list, another list, ClickHouse elsewhere, and a file again."""
    paths = [tmp_path / f"{number}.jsonl" for number in range(3)]
    files = [model.FileAudit(path=str(path)) for path in paths]
    spool, other = spool_in(tmp_path), ClickHouseServer()
    with serving(other) as elsewhere:
        steps = [
            (files[0],),
            (files[0], clickhouse(url)),
            (clickhouse(url), files[1]),
            (clickhouse(elsewhere), files[1]),
            (files[2], clickhouse(elsewhere)),
        ]
        async with running(model.Audit(to=steps[0], spool=spool)) as run:
            for step in steps[1:]:
                run.write(200)
                await run.reload(model.Audit(to=step, spool=spool))
                run.write(200)
            await until(lambda: len(server.rows) + len(other.rows) >= 1400)
            await until(lambda: run.log.written == 1600)
        assert run.lost == 0
    assert file_ids(paths[0]) + file_ids(paths[1]) + file_ids(paths[2]) == ids(1600)
    both = server.ids() + other.ids()
    assert sorted(both, key=lambda each: int(each[1:])) == both, "in their order, none twice"
    assert both[-1] == "d1599"


async def test_a_reload_that_is_given_up_changes_nothing(tmp_path: Path, url: str) -> None:
    path = tmp_path / "a.jsonl"
    before = model.Audit(to=model.FileAudit(path=str(path)))
    async with running(before) as run:
        entries = dict(run.sinks.entries)
        bad = model.FileAudit(path=str(tmp_path / "absent" / "a"), name="bad")
        with pytest.raises(AuditFault):
            await run.sinks.prepare(model.Audit(to=(clickhouse(url), bad)))
        _, abandon = await run.sinks.prepare(model.Audit(to=(clickhouse(url),)))
        abandon()
        run.write(1)
        await until(lambda: run.log.settled == 1)
        assert run.sinks.entries == entries


async def test_a_reload_of_bounds_alone_keeps_the_sinks(tmp_path: Path, url: str) -> None:
    to, spool = (clickhouse(url), model.FileAudit(path=str(tmp_path / "a"))), spool_in(tmp_path)
    async with running(model.Audit(to=to, spool=spool)) as run:
        threads = {name: each.delivery for name, each in run.sinks.entries.items()}
        smaller = model.AuditSpool(folder=spool.folder, key=spool.key, max_bytes=16_777_216)
        await run.reload(model.Audit(to=to, spool=smaller, queue_lines=32))
        assert {name: each.delivery for name, each in run.sinks.entries.items()} == threads
        assert run.sinks.spool is not None
        assert run.sinks.spool.store.max_bytes == 16_777_216
        assert run.sinks.spool.intake.max_lines == 32
        intake = run.sinks.entries["file"].intake
        assert intake is not None
        assert intake.max_lines == 32


SECRET = model.SecretEntry(path="audit/clickhouse", field="dek", poll_seconds=1)


async def test_a_credential_of_vault_is_read_watched_and_exchanged(
    server: ClickHouseServer, url: str
) -> None:
    server.user, server.key, vault = "writer", TEXT, Vault()
    settings = model.Audit(to=clickhouse(url, user="writer", password=SECRET))
    async with running(settings, vault) as run:
        run.write(1)
        await until(lambda: server.ids() == ["d0"])
        assert [each.part for each in run.watched] == ["audit_clickhouse_secret"]
        vault.problem = Fault("it is sealed")
        other = model.Audit(to=clickhouse(url, user="other", password=SECRET))
        with pytest.raises(Fault, match="sealed"):
            await run.sinks.prepare(other)
        vault.problem = None
        await run.reload(model.Audit(to=clickhouse(url)))
        assert run.watched == []


async def test_without_its_credential_the_lines_wait(server: ClickHouseServer, url: str) -> None:
    server.user, server.key, vault = "writer", TEXT, Vault()
    vault.problem = Fault("it is sealed")
    settings = model.Audit(to=clickhouse(url, user="writer", password=SECRET))
    async with running(settings, vault) as run:
        run.write(1)
        await until(lambda: "not been read from Vault yet" in run.delivery("clickhouse").problem)
        assert run.watched[0].problem == "it is sealed"
        vault.problem = None
        await until(lambda: server.ids() == ["d0"], 30)


@contextmanager
def dead_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda _: None)
        yield


async def test_a_thread_that_has_died_is_seen(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fatal(BaseException):
        """What no edge of a thread may stop."""

    def die(*_: object) -> None:
        raise Fatal

    with dead_thread(monkeypatch):
        async with running(model.Audit(to=clickhouse(url))) as run:
            assert run.sinks.are_running
            monkeypatch.setattr(run.sinks.entries["clickhouse"].opened.sink, "write", die)
            run.write(1)
            await until(lambda: not run.sinks.are_running)


async def test_an_overlapping_restart_hands_the_spool_over(
    tmp_path: Path, server: ClickHouseServer, url: str
) -> None:
    """The successor starts beside the one before, which is closed when it has drained."""
    settings = model.Audit(to=clickhouse(url), spool=spool_in(tmp_path))
    vault = Vault()
    async with running(settings, vault) as after_opened:
        before = after_opened
        await until(lambda: before.sinks.spool is not None and before.sinks.spool.is_open)
        async with running(settings, vault) as after:
            after.count = 1000
            after.write(10)
            await until(lambda: "another process" in problem_of(after))
            before.write(10)
            await asyncio.to_thread(before.log.close, 5)
            assert await asyncio.to_thread(before.sinks.close, 5) == 0
            await until(lambda: len(server.rows) == 20)
    assert server.ids() == ids(10) + ids(1010, 1000)


def problem_of(run: Running) -> str:
    return "" if run.sinks.spool is None else run.sinks.spool.problem


async def test_a_close_beside_a_sink_that_hangs_is_bounded(
    tmp_path: Path, server: ClickHouseServer, url: str
) -> None:
    hold = threading.Event()
    server.faults = [Answer(act=partial(held, hold))]
    settings = model.Audit(to=clickhouse(url), spool=spool_in(tmp_path))
    run = Running(settings, Vault())
    run.sinks.use_vault(run.vault, run.exchange)
    run.write(5)
    await until(lambda: run.delivery("clickhouse").waiting == 5)
    await asyncio.to_thread(run.log.close, 5)
    closing: Callable[[], int] = lambda: run.sinks.close(0.3)  # noqa: E731
    assert await asyncio.wait_for(asyncio.to_thread(closing), 10) == 0, "they are in the spool"
    hold.set()
    wait_until(lambda: not run.delivery("clickhouse").is_alive)
