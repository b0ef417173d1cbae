"""The decision cache of the main process: from a ring into the audit log and the counters."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.config import parse_config
from sidecar.context import AppContext
from sidecar.decision_cache.component import DecisionCache, make
from sidecar.decision_cache.control import _COUNTS_OFFSET
from sidecar.decision_cache.protocol import CONTROL_HEAD, MAX_CREDITS, TABLE_COUNTS, TABLE_OFFSET
from sidecar.observability.alerts import Alerts
from sidecar.observability.audit import AuditLog, FileSink
from sidecar.transport.http1_messages import Request
from tests.authz.conftest import CONFIG
from tests.decision_cache.served import received
from tests.support.module_peer import Peer
from tests.support.waiting import until

WHAT = Request("GET", "/decision-cache", "", b"")


class Running:
    """A context with a decision cache and an audit log, and nothing else."""

    def __init__(self, folder: Path, config: str = CONFIG) -> None:
        self.socket = folder / "leases.sock"
        self.file = folder / "audit.jsonl"
        listen = f"listen: {{authz: {{decision_cache: {{socket: {self.socket}}}}}}}\n"
        self.context = AppContext(parse_config(listen + config, "test"))
        self.audit = AuditLog(
            FileSink(self.file, max_bytes=0, keep=1),
            queue_lines=64,
            on_error=lambda exc: pytest.fail(repr(exc)),
        )
        cache = make(self.context, self.audit, Alerts(lambda: 0.0, with_webhook=False))
        assert cache is not None
        self.cache: DecisionCache = cache

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    made = Running(tmp_path)
    made.cache.start()
    yield made
    await made.context.stack.aclose()
    assert made.audit.close(10)


async def test_repeated_decisions_are_recorded_and_counted_like_others(running: Running) -> None:
    held: list[bool] = []
    running.cache.on_held = held.append
    peer = Peer(running.socket)
    peer.say()
    welcome = await received(peer)
    assert welcome is not None
    assert held == [True]
    for number in range(100):  # more than the audit log's queue takes at once
        warnings = ["a name"] if number == 0 else []
        welcome.ring.write(welcome.ring.line(latency_us=number, warnings=warnings))
    await until(lambda: running.file.exists() and len(running.lines()) == 100)
    counters = running.context.metrics.counters
    assert counters.checks == {("allow", "token_verified", "api"): 100}
    assert (counters.pii_warnings, sum(counters.latency.counts)) == (1, 100)
    await until(lambda: welcome.ring.tail == welcome.ring.head)
    text = running.context.metrics.render().decode()
    assert "septem_decision_cache_leases 1.0" in text
    shown = running.context.routes["GET", "/decision-cache"](WHAT)
    assert not asyncio.iscoroutine(shown)
    document = json.loads(shown.body)  # type: ignore[union-attr]
    assert document["leases"][0]["ring"] == welcome.ring.ring_id
    peer.close()
    await until(lambda: held == [True, False])


async def test_without_an_envoy_it_is_ready_all_the_same(running: Running) -> None:
    assert running.context.health.ready
    assert running.context.health.facts == {}


async def test_what_was_repeated_until_the_end_is_recorded(tmp_path: Path) -> None:
    made = Running(tmp_path)
    made.cache.start()
    peer = Peer(made.socket)
    peer.say()
    welcome = await received(peer)
    assert welcome is not None
    for _ in range(20):
        welcome.ring.write(welcome.ring.line())
    await made.context.stack.aclose()
    assert made.audit.close(10)
    assert len(made.lines()) == 20
    assert welcome.ring.tail == welcome.ring.head, "a successor would record them again"
    assert not made.socket.exists()
    peer.close()


async def test_routes_that_do_not_fit_repeat_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    many = "".join(f"  - {{name: r{n}, path_prefix: /r{n}}}\n" for n in range(1100))
    made = Running(tmp_path, CONFIG.replace("headers:\n", f"{many}headers:\n"))
    assert made.cache.control.words[TABLE_OFFSET // 8 + 1] == 0
    assert "repeats nothing" in caplog.text
    made.cache.close()
    assert made.audit.close(10)


@pytest.mark.parametrize(("section", "slots"), [("", 0), ("limits: {}\n", MAX_CREDITS)])
async def test_credit_has_slots_where_there_are_limits(
    tmp_path: Path, section: str, slots: int
) -> None:
    made = Running(tmp_path, section + CONFIG)
    told = CONTROL_HEAD.unpack_from(made.cache.control.bytes)[6]
    assert (made.cache.credit_policy.slots, told) == (slots, slots)
    assert (made.cache.tenant_credits is not None) == bool(slots)
    made.cache.close()
    assert made.audit.close(10)


async def test_it_is_off_unless_it_is_configured(tmp_path: Path) -> None:
    context = AppContext(parse_config(CONFIG, "test"))
    audit = AuditLog(
        FileSink(tmp_path / "a", max_bytes=0, keep=1), queue_lines=16, on_error=lambda _exc: None
    )
    assert make(context, audit, Alerts(lambda: 0.0, with_webhook=False)) is None
    assert audit.close(10)


def rows(running: Running) -> int:
    """The rows of the table that the module reads."""
    count: int = TABLE_COUNTS.unpack_from(running.cache.control.bytes, _COUNTS_OFFSET)[0]
    return count


async def test_the_table_is_empty_from_a_reload_until_every_process_decides_by_it(
    running: Running,
) -> None:
    assert rows(running) == 5
    (prepare,) = running.context.reload_parts
    one_less = CONFIG.replace("  - {name: shell, path_prefix: /shell}\n", "").replace(
        "name: api,", "name: apis,"
    )
    part = await prepare(parse_config(one_less, "test"))
    assert rows(running) == 5
    part.adopt()
    assert rows(running) == 0
    assert running.cache._known >= {"api", "apis"}
    part.settled()
    assert rows(running) == 4
