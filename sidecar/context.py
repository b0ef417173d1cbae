"""The app context, with which every component starts: settings, health, metrics, tasks, drain.

A component pushes everything it opens on ``stack``; the drain unwinds it in reverse order.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, Protocol

from sidecar.common.clock import monotonic_seconds
from sidecar.common.faults import FaultReporter
from sidecar.common.polling import PollStatus
from sidecar.common.registered_domains import NO_DOMAINS
from sidecar.config import model
from sidecar.observability.health import Health
from sidecar.observability.metrics import Metrics
from sidecar.observability.panel import Act, Collect
from sidecar.observability.waits import Waits
from sidecar.transport.http1_messages import Handler
from sidecar.transport.identities import Identities

_log = logging.getLogger("sidecar")


class UnaskedEnd(Exception):
    """A task that runs until the drain was cancelled before, by nobody who may."""


class GrpcHealth(Protocol):
    """The ``grpc.health.v1`` of either engine."""

    async def set_serving(self, serving: bool) -> None:
        """Set whether clients may send requests."""


class GrpcListener(Protocol):
    """A gRPC server of either engine."""

    @property
    def health(self) -> GrpcHealth:
        """Its health service."""

    async def start(self) -> None:
        """Start listening."""

    async def stop(self, grace_seconds: float) -> None:
        """Stop accepting calls, and wait for those in flight for at most ``grace_seconds``."""


class PreparedPart(NamedTuple):
    """A component's part of a reload, ready to be put in force.

    ``adopt`` must not fail or wait: it runs with those of the other components, between two
    Checks. ``abandon`` closes what was opened for a reload that does not take place.
    """

    adopt: Callable[[], None]
    abandon: Callable[[], None] = lambda: None
    settled: Callable[[], None] = lambda: None
    """Called once every process decides by the new settings, unless others have followed."""


Restart = Callable[[model.Config], Awaitable[str]]
"""Replaces the running sidecar by one with this configuration, without a gap.

Returns why the old one goes on; empty if it does not.
"""

PreparePart = Callable[[model.Config], Awaitable[PreparedPart]]
"""Prepares a component for other settings; nothing changes yet. Raises ``Fault``."""


class SharePorts(Protocol):
    """Lets a successor listen on the ports of other processes of this sidecar, or not any more."""

    async def __call__(self, *, shared: bool) -> None:
        """Return when it is done."""


async def _share_nothing(*, shared: bool) -> None:
    """Do nothing: there are no other processes."""


async def _stop_nothing() -> None:
    """Do nothing: no Check is answered yet."""


class AppContext:
    """One run of the process, from its start to the end of its drain."""

    def __init__(self, config: model.Config) -> None:
        self.config = config
        self.health = Health()
        self.metrics = Metrics()
        self.waits = Waits(monotonic_seconds)
        """What the start waits for."""
        self.stack = AsyncExitStack()
        self.stop = asyncio.Event()
        self.routes: dict[tuple[str, str], Handler] = {}
        """The routes of the admin port by method and path; each component adds its own."""
        self.panels: dict[str, Collect] = {}
        """What components show on the operator's page, by the names of ``sidecar.admin.page``."""
        self.actions: dict[str, Act] = {}
        """What an operator may do from that page; each component adds its own."""
        self.reload_parts: list[PreparePart] = []
        """What components do for a reload of the configuration, in this order."""
        self.share_ports: SharePorts = _share_nothing
        """Set where Checks are answered by workers."""
        self.stop_checks: Callable[[], Awaitable[None]] = _stop_nothing
        """Has those who answer Checks answer what they have, and no more; set where they start."""
        self.restart: Restart | None = None
        """Begins an overlapping restart with another configuration, where that is possible."""
        self.identities = Identities()
        """What listeners with mutual TLS show and believe, of what SDS serves."""
        self.bounds: Mapping[str, int] = {}
        """The most connections of each listener (``sidecar.transport.listener_bounds``)."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_fault = FaultReporter(self.metrics.count_fault, monotonic_seconds, _log)
        """Counts an unexpected exception, and logs each kind once."""
        self.health.on_fault = self.metrics.on_fault = self.on_fault
        self.registered = NO_DOMAINS
        """The tenants' domains, as the registries list them."""
        self.failed = False
        """Whether a bug ended a task that must not end; the exit code is then 1."""
        self.refreshers: list[Callable[[], Coroutine[Any, Any, None]]] = []
        """Sources that are read again, in addition to the keys, when the operator requests it."""
        self.refreshed: list[PollStatus] = []
        """The status of those sources."""
        self.polls: list[PollStatus] = []
        """The status of every polled source, in the order of the start."""

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a component's task until the drain; an exception in it ends the process."""
        task = asyncio.create_task(coroutine)
        over = False

        def ended(task: asyncio.Task[None]) -> None:
            exc: BaseException | None
            if task.cancelled():  # with what it awaited, where that was not for the drain
                exc = None if over else UnaskedEnd("a part's task was cancelled")
            else:
                exc = task.exception()
            if exc is not None:
                self.end_with(exc)

        task.add_done_callback(ended)

        async def cancel() -> None:
            nonlocal over
            over = True
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self.stack.push_async_callback(cancel)

    def end_with(self, exc: BaseException) -> None:
        """Report an exception that ended an essential task; drain, and exit with code 1."""
        self.on_fault(exc)
        self.failed = True
        self.stop.set()

    def watch(self, status: PollStatus) -> None:
        """Show the status of a polled source in ``/readyz`` and in the metrics."""

        def show(status: PollStatus) -> None:
            self.health.facts[status.part] = f"outage: {status.problem}" if status.problem else "ok"

        status.on_change = show
        show(status)
        self.polls.append(status)

    def unwatch(self, status: PollStatus) -> None:
        """Show the status of a source no longer, which a reload has ended."""
        self.polls.remove(status)
        status.on_change = lambda _status: None  # a read may still be under way
        self.health.facts.pop(status.part, None)

    def exchange_watched(self, before: Iterable[PollStatus], after: Iterable[PollStatus]) -> None:
        """Show the status of other sources; those that stay are shown as they are."""
        were, are = list(before), list(after)
        for status in were:
            if status not in are:
                self.unwatch(status)
        for status in are:
            if status not in were:
                self.watch(status)

    def owner_of(self, host: str) -> str | None:
        """Return the tenant that registered a host's domain."""
        return self.registered.owner_of(host)

    def run_soon(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a short coroutine in the background; an exception in it is reported."""
        task = asyncio.create_task(self._guarded(coroutine))
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (exc := task.exception()) is not None:
                self.on_fault(exc)

        task.add_done_callback(ended)

    async def _guarded(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except Exception as exc:  # noqa: BLE001 - the task's edge: reported, as nothing awaits it
            self.on_fault(exc)

    async def listen(self, server: GrpcListener) -> None:
        """Start a gRPC server, let its health follow the process's, and stop it in the drain."""
        await server.start()
        self.stack.push_async_callback(server.stop, self.config.listen.drain_seconds)
        self.health.on_change(lambda ready: self.run_soon(server.health.set_serving(serving=ready)))
