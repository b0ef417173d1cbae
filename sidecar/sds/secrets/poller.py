"""Polls secrets, one task each, and keeps the last good value through every failure.

A failed read does not change what is served. Every failure is counted, and an alert is sent
when failures begin and when they end. A critical alert is sent if the value ends meanwhile (a
CRL past its ``nextUpdate``, a bundle whose roots have all expired): Envoy then refuses peers,
which is correct, and the operator must learn it before the users do.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from sidecar.common.keyed_tasks import KeyedTasks
from sidecar.common.poll_pace import OUTAGE_JITTER_SHARE
from sidecar.common.polling import PollStatus
from sidecar.sds.secrets.source import SecretSource, VersionedValue
from workload.backoff import Backoff, with_jitter

_log = logging.getLogger("sidecar.sds.secrets")
_CONCURRENT = 2
"""Reads at once: half of the blocking runner's threads, so that keys can be read meanwhile."""
_FIRST_RETRY_SECONDS = 2.0


class SourceStatus(StrEnum):
    """The state of one secret."""

    INIT = "init"
    FRESH = "fresh"
    STALE = "stale"
    """The last read failed; the value before it is served."""
    ENDED = "ended"
    """The value that is served has ended: peers are denied."""


class StatusChange(NamedTuple):
    """A secret's state changed."""

    kind: str
    name: str
    before: SourceStatus
    after: SourceStatus
    why: str


class Polled:
    """One polled secret: its last value, and the status of its reads."""

    def __init__(self, source: SecretSource[Any]) -> None:
        self.source = source
        self.state = SourceStatus.INIT
        self.held: VersionedValue[Any] | None = None
        self.read_at: float | None = None
        """Unix seconds of the last read that succeeded."""
        self.failures_in_a_row = 0
        self._is_first = True
        self.status = PollStatus(
            f"{source.kind}/{source.name}",
            f"{source.kind.replace('_', ' ')} {source.name!r}",
            _log,
            kept="the last value is served until it ends",
        )

    @property
    def outcomes(self) -> dict[str, int]:
        """Return the number of reads by outcome."""
        return self.status.outcomes

    @property
    def last_error(self) -> str:
        """Return why the last read failed; empty if it did not."""
        return self.status.problem

    def __repr__(self) -> str:
        """Name the secret, without its value."""
        return f"Polled({self.source.kind}, {self.source.name!r}, {self.state})"

    def judge(self, now: float) -> SourceStatus:
        """Return the state that follows from the value and the last read."""
        if self.held is None:
            return SourceStatus.INIT
        if self.held.ends_at is not None and self.held.ends_at <= now:
            return SourceStatus.ENDED
        return SourceStatus.STALE if self.failures_in_a_row else SourceStatus.FRESH

    def pause(self, jitter: float) -> float:
        """Return how long to wait: the poll interval; after failures less, doubling.

        The first wait is a random share of it, so that a fleet does not poll in step.
        """
        wait = self.held.again_seconds if self.held is not None else 60.0
        if self.failures_in_a_row:
            longest = max(wait, _FIRST_RETRY_SECONDS)
            retries = Backoff(_FIRST_RETRY_SECONDS, longest, jitter_share=OUTAGE_JITTER_SHARE)
            return retries.pause_seconds(self.failures_in_a_row, jitter, self.status.asked_seconds)
        is_first, self._is_first = self._is_first, False
        return with_jitter(wait, jitter, 1.0) if is_first else with_jitter(wait, jitter)


class PreparedSecrets(NamedTuple):
    """What a reload will poll, and what was read of the sources that are new."""

    secrets: tuple[Polled, ...]
    read: Mapping[Polled, VersionedValue[Any]]


class SecretPoller:
    """Every polled secret. ``publish`` gets each new version, on the event loop.

    It has no ``PollLoop``: many sources share one gate, each with a pause that follows from its
    own last read, and a reload ends some of their tasks and begins others.
    """

    def __init__(
        self,
        sources: Sequence[SecretSource[Any]],
        *,
        now: Now,
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
        publish: Callable[[SecretSource[Any], VersionedValue[Any]], None],
        on_state: Callable[[StatusChange], None],
    ) -> None:
        self.secrets = tuple(Polled(source) for source in sources)
        self._now = now
        self._sleep = sleep
        self._jitter = jitter
        self._publish = publish
        self._on_state = on_state
        self._gate = asyncio.Semaphore(_CONCURRENT)
        self._tasks = KeyedTasks()

    async def load(self) -> None:
        """Read everything once. Raises the first ``Fault``: there is no last good value yet."""
        async with asyncio.TaskGroup() as tasks:
            reads = [tasks.create_task(self._read(secret)) for secret in self.secrets]
        for read in reads:
            if (fault := read.result()) is not None:
                raise fault

    async def run(self) -> None:
        """Read each secret when it is due, until cancelled."""
        self._run_tasks()
        await self._tasks.run()

    async def prepare(self, sources: Sequence[SecretSource[Any]]) -> PreparedSecrets:
        """Read those of other sources that are not polled yet; nothing changes meanwhile.

        Raises the ``Fault`` of a source that can't be read.
        """
        held = {each.source: each for each in self.secrets}
        secrets = tuple(held.get(source) or Polled(source) for source in sources)
        fresh = [each for each in secrets if each.source not in held]
        values = await asyncio.gather(*(self._fetch(each.source) for each in fresh))
        return PreparedSecrets(secrets, dict(zip(fresh, values, strict=True)))

    def adopt(self, prepared: PreparedSecrets) -> None:
        """Poll what was prepared, and publish what was read for it."""
        self.secrets = prepared.secrets
        for secret, value in prepared.read.items():
            self._take(secret, value)
            secret.status.succeeded()
            self._step(secret)
        self._run_tasks()

    def _run_tasks(self) -> None:
        self._tasks.use({secret: partial(self._keep, secret) for secret in self.secrets})

    async def refresh(self) -> None:
        """Read all secrets now."""
        await asyncio.gather(*(self._read(secret) for secret in self.secrets))

    async def _keep(self, secret: Polled) -> None:
        while True:
            await self._sleep(secret.pause(self._jitter()))
            await self._read(secret)

    async def _fetch(self, source: SecretSource[Any]) -> VersionedValue[Any]:
        async with self._gate:
            return await source.fetch()

    async def _read(self, secret: Polled) -> Fault | None:
        failure: Fault | None = None
        try:
            self._take(secret, await self._fetch(secret.source))
        except Exception as exc:  # noqa: BLE001 - the poll's edge: one source ends no other's reads
            failure = secret.status.failed(exc)
            secret.failures_in_a_row += 1
        else:
            secret.status.succeeded()
            secret.failures_in_a_row = 0
        self._step(secret)
        return failure

    def _take(self, secret: Polled, value: VersionedValue[Any]) -> None:
        held = secret.held
        if held is None or held.version != value.version:
            self._publish(secret.source, value)
            _log.info(
                "%s is at version %s", secret.source.kind, value.version,
                extra={"name_of": secret.source.name},
            )  # fmt: skip
        # Stored only after it is published: a value that can't be encoded is tried again.
        secret.held = value
        secret.read_at = self._now()

    def _step(self, secret: Polled) -> None:
        before, after = secret.state, secret.judge(self._now())
        secret.state = after
        if before is not after:
            kind, name = secret.source.kind, secret.source.name
            self._on_state(StatusChange(kind, name, before, after, secret.last_error))
