"""The sinks of the audit log, their threads, and the spool; a reload exchanges sinks.

A file or standard output alone is written to by the audit log's own thread. Otherwise that thread
puts each batch into a queue for every sink, and into the spool where there is one, and waits for
none of them.
"""

import asyncio
import random
from collections.abc import Callable, Hashable, Iterable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.current_task import Run
from sidecar.common.keyed_tasks import KeyedTasks
from sidecar.common.poll_pace import PollPace
from sidecar.common.polling import PollStatus
from sidecar.config import model
from sidecar.config.audit import NETWORK_SINKS
from sidecar.observability.audit.delivery import Delivery
from sidecar.observability.audit.fan_out import FanOut, FanOutQueue
from sidecar.observability.audit.intake import Intake
from sidecar.observability.audit.open_sink import OpenedSink, open_sink
from sidecar.observability.audit.secrets import VaultReader, VaultSecret
from sidecar.observability.audit.sink_gaps import SinkGaps
from sidecar.observability.audit.sinks import Sink
from sidecar.observability.audit.spool.reader import SpoolReader
from sidecar.observability.audit.spool.spool import Spool
from sidecar.observability.audit.spool.vault_keys import SpoolKeyVault, VaultKeyStore

_RETIRED_FLUSH_SECONDS = 30.0
_RETIRED_GRACE_SECONDS = 2.0
"""How long a batch may still come for a sink that a reload removed."""


class Way(Enum):
    """How lines get to a sink."""

    DIRECT = "direct"
    QUEUE = "queue"
    SPOOL = "spool"


class SinkVault(SpoolKeyVault, VaultReader, Protocol):
    """What sinks and spool ask of Vault; ``VaultClient`` answers it."""


class SinkEntry(NamedTuple):
    """One sink in use."""

    settings: model.AuditSink
    way: Way
    opened: OpenedSink
    delivery: Delivery | None = None
    intake: Intake | None = None


class AuditSinks:
    """What stands behind the audit log. Raises ``AuditFault`` where a sink can't be opened.

    ``gaps`` takes what the queues drop, for the trail to say it. ``exchange_watched`` shows the
    statuses of polls in place of others.
    """

    def __init__(self, settings: model.Audit, gaps: SinkGaps | None = None) -> None:
        self.settings = settings
        self._vault: SinkVault | None = None
        self._polls = KeyedTasks()
        self._exchange_watched: Callable[[Iterable[PollStatus], Iterable[PollStatus]], None] = (
            lambda _before, _after: None
        )
        self._retired: list[Delivery] = []
        self.entries: dict[str, SinkEntry] = {}
        self._gaps = gaps or SinkGaps()
        self._keys = None if settings.spool is None else VaultKeyStore(settings.spool.key)
        opened = _open_all(settings.sinks)
        self.spool = self._make_spool(settings)
        self.root: Sink = self._adopt(settings, opened)
        if self.spool is not None:
            self.spool.start()

    def use_vault(
        self,
        vault: SinkVault,
        exchange_watched: Callable[[Iterable[PollStatus], Iterable[PollStatus]], None],
    ) -> None:
        """Have keys and credentials from Vault from now on.

        A credential that is not there prevents no start: lines wait.
        """
        self._vault, self._exchange_watched = vault, exchange_watched
        if self._keys is not None:
            self._keys.use(vault, asyncio.get_running_loop())
        self._watch([])

    async def run(self) -> None:
        """Read credentials again, until cancelled."""
        await self._polls.run()

    async def prepare(self, settings: model.Audit) -> tuple[Callable[[], None], Callable[[], None]]:
        """Open what other settings add; return what puts it in force, and what gives it up.

        Where ``to`` is another, the audit log is to write to ``root`` as it is then. Raises
        ``Fault`` if a sink can't be opened, or its credential can't be read.
        """
        fresh = [each for each in settings.sinks if not self._is_kept(each, settings)]
        opened = await asyncio.to_thread(_open_all, fresh)
        abandon = partial(_close_all, opened)
        try:
            for each in opened.values():
                if each.secret is not None and self._vault is not None:
                    await each.secret.read(self._vault)
        except BaseException:
            abandon()
            raise
        return partial(self._put_in_force, settings, opened), abandon

    def unsettled(self) -> int:
        """Return how many lines that were written to ``root`` are not safe yet.

        Safe is a line in every file and in the spool; where there is neither, a line that every
        sink has taken.
        """
        entries = tuple(self.entries.values())
        safe = [
            each.intake.waiting
            for each in entries
            if each.intake is not None and not isinstance(each.settings, NETWORK_SINKS)
        ]
        if self.spool is not None and any(each.way is Way.SPOOL for each in entries):
            safe.append(self.spool.intake.waiting)
        queues = [each.intake.waiting for each in entries if each.intake is not None]
        return max(safe or queues, default=0)

    @property
    def are_running(self) -> bool:
        """Whether every thread is there."""
        entries = tuple(self.entries.values())
        return all(each.delivery is None or not each.delivery.has_died for each in entries)

    def close(self, timeout_seconds: float) -> int:
        """End every thread; return how many lines were lost by that.

        What is spooled is not lost: it waits for the next process.
        """
        deadline = monotonic_seconds() + timeout_seconds
        running = [each.delivery for each in self.entries.values() if each.delivery is not None]
        running += self._retired
        for each in self.entries.values():
            if each.delivery is not None:
                each.delivery.stop(0.0 if each.way is Way.SPOOL else timeout_seconds)
        for retired in self._retired:
            retired.stop(timeout_seconds)
        if self.spool is not None:
            self.spool.stop()
            self.spool.join(_left(deadline))
        for delivery in running:
            delivery.join(_left(deadline))
        if self.spool is not None:
            self.spool.release()
        lost = sum(each.waiting for each in self._retired)
        lost += sum(each.intake.waiting for each in self.entries.values() if each.intake)
        return lost + (0 if self.spool is None else self.spool.intake.waiting)

    def _make_spool(self, settings: model.Audit) -> Spool | None:
        if settings.spool is None or self._keys is None:
            return None
        return Spool(
            Path(settings.spool.folder),
            self._keys,
            max_bytes=settings.spool.max_bytes,
            intake=Intake(settings.queue_lines, settings.queue_bytes),
            sinks=_spooled(settings),
            now=wall_seconds,
        )

    def _is_kept(self, sink: model.AuditSink, settings: model.Audit) -> bool:
        entry = self.entries.get(sink.name)
        return entry is not None and entry.settings == sink and entry.way is _way(sink, settings)

    def _put_in_force(self, settings: model.Audit, opened: dict[str, OpenedSink]) -> None:
        secrets = self._secrets()
        root = self._adopt(settings, opened)
        self._watch(secrets)
        if self.spool is not None:
            self.spool.use_sinks(_spooled(settings))
            if settings.spool is not None:
                self.spool.store.max_bytes = settings.spool.max_bytes
            self.spool.intake.use_bounds(settings.queue_lines, settings.queue_bytes)
        self.root = root

    def _adopt(self, settings: model.Audit, opened: dict[str, OpenedSink]) -> Sink:
        """Take over these sinks; return what the audit log is to write to."""
        before = self.entries
        self.entries = {
            each.name: self._enter(each, settings, opened[each.name])
            if each.name in opened
            else before[each.name]
            for each in settings.sinks
        }
        for name, entry in before.items():
            if entry.intake is not None:
                entry.intake.use_bounds(settings.queue_lines, settings.queue_bytes)
            now = self.entries.get(name)
            if entry.delivery is not None and (now is None or now.way is not entry.way):
                flush = 0.0 if entry.way is Way.SPOOL else _RETIRED_FLUSH_SECONDS
                entry.delivery.stop(flush, grace_seconds=_RETIRED_GRACE_SECONDS)
                self._retired.append(entry.delivery)
        self._retired = [each for each in self._retired if each.is_alive]
        self.settings = settings
        return self._make_root()

    def _make_root(self) -> Sink:
        entries = list(self.entries.values())
        if entries[0].way is Way.DIRECT:
            return entries[0].opened.sink
        queues = [
            FanOutQueue(each.intake, (each.settings.name,))
            for each in entries
            if each.intake is not None
        ]
        spooled = tuple(each.settings.name for each in entries if each.way is Way.SPOOL)
        if self.spool is not None and spooled:
            queues.append(FanOutQueue(self.spool.intake, spooled))
        return FanOut(queues, self._reopen, self._gaps)

    def _enter(
        self, settings: model.AuditSink, audit: model.Audit, opened: OpenedSink
    ) -> SinkEntry:
        """Return a new entry; where it takes another's place, its thread begins when that ends."""
        way, before = _way(settings, audit), self.entries.get(settings.name)
        if way is Way.DIRECT:
            return SinkEntry(settings, way, opened)
        intake = None if way is Way.SPOOL else Intake(audit.queue_lines, audit.queue_bytes)
        if before is not None and before.way is way:
            intake = before.intake
        delivery = Delivery(
            settings.name,
            opened.sink,
            partial(self._spooled_lines, settings.name) if intake is None else lambda: intake,
            bounds=opened.bounds,
            clock=monotonic_seconds,
            jitter=random.random,
        )
        if before is not None and before.way is way and before.delivery is not None:
            before.delivery.hand_over(delivery)
        else:
            delivery.start()
        return SinkEntry(settings, way, opened, delivery, intake)

    def _reopen(self) -> None:
        for each in tuple(self.entries.values()):
            if each.delivery is not None:
                each.delivery.reopen()

    def _spooled_lines(self, name: str) -> SpoolReader | None:
        return None if self.spool is None else self.spool.reader(name)

    def _secrets(self) -> list[VaultSecret]:
        opened = [each.opened.secret for each in self.entries.values()]
        return [each for each in opened if each is not None]

    def _watch(self, before: list[VaultSecret]) -> None:
        """Read and show the credentials of the sinks in use, and no others."""
        if (vault := self._vault) is None:
            return
        after = self._secrets()
        self._exchange_watched([each.status for each in before], [each.status for each in after])
        tasks: dict[Hashable, Run] = {each: partial(_poll, each, vault) for each in after}
        self._polls.use(tasks)


async def _poll(secret: VaultSecret, vault: VaultReader) -> None:
    pace = PollPace(lambda: secret.settings.poll_seconds, random.random)
    while True:
        with secret.status.poll():
            await secret.read(vault)
        await asyncio.sleep(pace.pause_seconds(secret.status))


def _way(sink: model.AuditSink, settings: model.Audit) -> Way:
    if isinstance(sink, NETWORK_SINKS) and settings.spool is not None:
        return Way.SPOOL
    is_batched = isinstance(sink, model.ClickHouseAudit | model.KafkaAudit)
    return Way.QUEUE if is_batched or len(settings.sinks) > 1 else Way.DIRECT


def _spooled(settings: model.Audit) -> list[str]:
    return [each.name for each in settings.sinks if _way(each, settings) is Way.SPOOL]


def _open_all(sinks: Iterable[model.AuditSink]) -> dict[str, OpenedSink]:
    """Open sinks, all or none. Raises ``AuditFault``."""
    opened: dict[str, OpenedSink] = {}
    try:
        for each in sinks:
            opened[each.name] = open_sink(each)
    except BaseException:
        _close_all(opened)
        raise
    return opened


def _close_all(opened: dict[str, OpenedSink]) -> None:
    for each in opened.values():
        each.sink.close()


def _left(deadline: float) -> float:
    return max(0.0, deadline - monotonic_seconds())
