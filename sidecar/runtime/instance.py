"""One running sidecar inside this process, and how another one replaces it without a gap.

An overlapping restart changes what no reload can: addresses, workers, the engine, the login to
Vault. The successor starts beside the running instance, in the same process: so it needs no
other process number than the one that systemd or a container knows. It has a context of its own,
reads and obtains everything anew, and takes ports (``transport.ports``) and Unix sockets
(``transport.socket_locks``) over. If it does not become ready in time, it is closed and the
running one goes on; if it does, the running one answers what it has accepted, and ends.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NamedTuple

from sidecar.common.errors import Fault
from sidecar.common.polling import describe
from sidecar.config import model
from sidecar.config.endpoints import check_endpoints, other_listeners, unix_sockets
from sidecar.context import AppContext
from sidecar.runtime.operator_requests import HangUp
from sidecar.runtime.service_manager import ServiceManager
from sidecar.runtime.start_report import StartReport
from sidecar.transport import ports
from sidecar.transport.listener_bounds import bound_connections
from sidecar.transport.socket_locks import SocketLocks
from sidecar.transport.sockets import open_listeners

RESTART_SECONDS = 120.0
"""How long a successor may take to become ready."""
ACCEPT_SECONDS = 0.1
"""How long a replaced instance still accepts what has reached its sockets before it drains."""
ANSWER_SECONDS = 1.0
"""How long it still answers on the admin port, whence the restart may have been asked for."""

_log = logging.getLogger("sidecar")

Start = Callable[["Instance"], Coroutine[Any, Any, None]]
"""Starts every component of an instance. Raises the ``Fault`` that prevents it."""


class RestartRequest(NamedTuple):
    """A configuration that is to be put in force by a restart, and what tells how that ended."""

    config: model.Config
    ended: "asyncio.Future[str]"


class RestartRequests:
    """Requests of overlapping restarts, from whoever reloads to the main loop; one at a time."""

    def __init__(self) -> None:
        self._open: asyncio.Queue[RestartRequest] = asyncio.Queue(1)

    async def __call__(self, config: model.Config) -> str:
        """Request one, and wait for its end; return why it did not take place, or nothing."""
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await self._open.put(RestartRequest(config, ended))
        return await ended

    async def next_before(self, stop: asyncio.Event) -> RestartRequest | None:
        """Return the next request; ``None`` once the process is to stop."""
        wanted = asyncio.create_task(self._open.get())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([wanted, stopping], return_when=asyncio.FIRST_COMPLETED)
            return None if stop.is_set() else wanted.result()
        finally:
            for each in (wanted, stopping):
                each.cancel()
            await asyncio.gather(wanted, stopping, return_exceptions=True)


class Instance:
    """One run of all components, from its start to the end of its drain."""

    def __init__(
        self,
        config: model.Config,
        manager: ServiceManager,
        context: AppContext,
        *,
        take_over: bool,
    ) -> None:
        self.config = config
        self.context = context
        self.manager = manager
        self.hang_up = HangUp(context)
        self.locks = SocketLocks(unix_sockets(config.listen), take_over=take_over)
        self.restarts = context.restart = RestartRequests()
        """What the main loop takes requests of overlapping restarts from."""
        context.bounds = bound_connections(config.listen)
        self.waited_for = ""
        """What its start waited for when it was ended."""
        self._report = StartReport(context.health, context.waits, asyncio.sleep)

    async def start(self, start: Start) -> bool:
        """Start; false where a signal or a defect ended that. Raises what the start raises."""
        context = self.context
        context.spawn(self.manager.run())
        # Before anything is touched: another sidecar may have our sockets.
        self.locks.acquire()
        context.stack.callback(self.locks.release)
        starting = asyncio.create_task(start(self))
        reporting = asyncio.create_task(self._report.run())
        stopping = asyncio.create_task(context.stop.wait())
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                self._report.done()
                return True
            return False
        finally:
            if not starting.done():
                self.waited_for = context.waits.timed
            for each in (starting, reporting, stopping):
                each.cancel()
            await asyncio.gather(starting, reporting, stopping, return_exceptions=True)

    async def close(self) -> None:
        """Close everything that it has opened: in the drain, or where it did not start."""
        await self.context.stack.aclose()


async def start_successor(running: Instance, successor: Instance, start: Start) -> str:
    """Start an instance in place of a running one; return why it did not start, or nothing.

    Then the running one goes on as before. Where it did, every new connection is the successor's.
    """
    before = ports.marks()
    ports.share(shared=True)
    await running.context.share_ports(shared=True)
    why = moved_listener(running.config, successor.config)
    if not why:
        why = await _start_within(running, successor, start)
    if why:
        await successor.close()
        await running.context.share_ports(shared=False)
        ports.share(shared=False)
        return why
    ports.take_over(before)
    return ""


async def _start_within(running: Instance, successor: Instance, start: Start) -> str:
    ports.JOINS.set(True)  # of this task, and of what it starts
    try:
        for address in _new_addresses(running.config, successor.config):
            _try(address)
        async with asyncio.timeout(RESTART_SECONDS):
            if not await _unless(running.context.stop, successor.start(start)):
                return "the sidecar is shutting down, or the new one met a defect: see the log"
    except TimeoutError:
        waited = f"; it waited for {successor.waited_for}" if successor.waited_for else ""
        return f"it was not ready within {RESTART_SECONDS:.0f} s{waited}"
    except Fault as fault:
        return str(fault)
    except OSError as exc:
        return describe(exc)
    except Exception as exc:  # noqa: BLE001 - the running instance goes on, whatever the other met
        running.context.on_fault(exc)
        return f"an internal error (a bug in the sidecar): {type(exc).__name__}"
    finally:
        ports.JOINS.set(False)
    return ""


async def _unless(stop: asyncio.Event, start: Coroutine[Any, Any, bool]) -> bool:
    """Return what a start returns; false where the process is to stop before it ends."""
    starting = asyncio.create_task(start)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        return starting.result() if starting.done() else False
    finally:
        for each in (starting, stopping):
            each.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)


async def hand_over(running: Instance, successor: Instance, done: Callable[[], None]) -> None:
    """Let the running instance answer what it has, close it, and close the ports to others.

    ``done`` is called when it answers no Check any more. Its health stays as it is: clients ask
    the successor next, at the same address.
    """
    try:
        await asyncio.sleep(ACCEPT_SECONDS)
        await running.context.stop_checks()
        done()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(successor.context.stop.wait(), ANSWER_SECONDS)
    finally:
        await running.close()
    await successor.context.share_ports(shared=False)
    ports.share(shared=False)


def listeners_of(config: model.Config) -> dict[str, str]:
    """Return what listens on each address of a configuration."""
    listen = config.listen
    found = dict.fromkeys(check_endpoints(listen.authz), "Checks")
    for name, address in other_listeners(listen).items():
        found[address] = f"listen.{name}"
    return found


def moved_listener(old: model.Config, new: model.Config) -> str:
    """Say which address another listener would take over; nothing where none does.

    While both run, requests for one would reach the other.
    """
    before = listeners_of(old)
    for address, name in listeners_of(new).items():
        if before.get(address, name) != name:
            return (
                f"{address} is that of {before[address]} and would be that of {name}: while both"
                " run, requests for one would reach the other; choose another address, or stop"
                " the sidecar and start it"
            )
    return ""


def _new_addresses(old: model.Config, new: model.Config) -> Iterator[str]:
    return (each for each in listeners_of(new) if each not in listeners_of(old))


def _try(address: str) -> None:
    """Raise ``ListenFault`` for an address that can't be had, before anything is taken over."""
    if not address.startswith("unix:"):
        for each in open_listeners(address):
            each.close()
