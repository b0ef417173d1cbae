"""Tells systemd how the process is: ready, reloading, stopping, alive (sd_notify(3)).

A datagram of ``NAME=value`` lines to the Unix socket in ``NOTIFY_SOCKET``, and nothing without
that variable. Nothing waits for the service manager: what it does not take is lost, and the
next state follows.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from sidecar.observability.health import Health
from sidecar.observability.waits import Waits

UPDATE_SECONDS = 1.0
"""How often the state is looked at; systemd shows it in ``systemctl status``."""
_EXTENSION_SECONDS = 30
"""How much longer the start may take, from each moment at which it says what it waits for."""
_MAX_STATUS = 500
_MICROSECONDS = 1_000_000

_log = logging.getLogger("sidecar")


class NotifySettings(NamedTuple):
    """What the service manager put into the environment."""

    address: str
    """The path of its socket; ``@`` begins an abstract one (unix(7))."""
    watchdog_seconds: float | None
    """It kills the process if it hears nothing for so long."""


def read_environment(environment: Mapping[str, str], pid: int) -> NotifySettings | None:
    """Return what this process's environment says; ``None`` where no service manager listens.

    ``WATCHDOG_PID`` may name another process: then the watchdog is not ours
    (sd_watchdog_enabled(3)).
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return None
    period = environment.get("WATCHDOG_USEC", "")
    owner = environment.get("WATCHDOG_PID", str(pid))
    has_watchdog = period.isascii() and period.isdigit() and int(period) > 0 and owner == str(pid)
    return NotifySettings(address, int(period) / _MICROSECONDS if has_watchdog else None)


class ServiceManager:
    """What this process tells the service manager; without ``settings`` nothing is sent.

    ``monotonic_ns`` is the kernel's CLOCK_MONOTONIC, which orders the messages of a reload.
    """

    def __init__(
        self,
        settings: NotifySettings | None,
        health: Health,
        waits: Waits,
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._health = health
        self._waits = waits
        self._monotonic_ns = monotonic_ns
        self._is_starting = True
        self._is_muted = False
        self._said = ""
        self._failed = False

    def mute(self) -> None:
        """Say nothing from now on: another instance of this process speaks for it."""
        self._is_muted = True

    def started(self) -> None:
        """Say that the start is over, and Checks are answered; speak from now on."""
        self._is_muted = False
        self._is_starting = False
        self._send("READY=1", self._status())

    def stopping(self) -> None:
        """Say that the drain begins."""
        self._send("STOPPING=1", "STATUS=draining")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Say that the configuration is reloaded in this block (``Type=notify-reload``)."""
        microseconds = self._monotonic_ns() // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={microseconds}", "STATUS=reloading")
        try:
            yield
        finally:
            self._send("READY=1", self._status())

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Send the state when it changes, and a beat for the watchdog; a task until the end.

        The beat comes from the event loop that answers, so that a loop which turns no more is
        killed and started again.
        """
        if self._settings is None:
            return
        watchdog = self._settings.watchdog_seconds
        period = UPDATE_SECONDS if watchdog is None else min(UPDATE_SECONDS, watchdog / 2)
        while True:
            status = self._status()
            lines = [] if status == self._said else [status]
            if watchdog is not None:
                lines.append("WATCHDOG=1")
            if self._is_starting and self._waits.names:
                lines.append(f"EXTEND_TIMEOUT_USEC={_EXTENSION_SECONDS * _MICROSECONDS}")
            self._send(*lines)
            await sleep(period)

    def _status(self) -> str:
        problems = self._health.problems
        if not problems:
            return "STATUS=ready"
        text = "; ".join(f"{part}: {problem}" for part, problem in problems.items())
        return f"STATUS=not ready: {' '.join(text.split())[:_MAX_STATUS]}"

    def _send(self, *lines: str) -> None:
        if self._settings is None or self._is_muted or not lines:
            return
        self._said = next((line for line in lines if line.startswith("STATUS=")), self._said)
        address = self._settings.address
        target = f"\0{address[1:]}" if address.startswith("@") else address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto("\n".join(lines).encode(), target)
        except OSError as exc:
            if not self._failed:
                _log.warning("the service manager is not told (NOTIFY_SOCKET): %s", exc.strerror)
            self._failed = True
        else:
            self._failed = False
