"""Polls the revocations, separately from the keys, with their own state, age and alert.

A failure to read the list does not affect the keys, nor the other way round. The last list
stays in force. At the start everything must be readable: otherwise revoked tokens would pass.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from sidecar.common.poll_pace import PollPace
from sidecar.common.polling import PollLoop, PollStatus
from sidecar.keys.lifecycle import KeyState, Lifecycle
from sidecar.tokens.revocation import NOTHING_REVOKED, RevocationPart, Revocations

_log = logging.getLogger("sidecar.keys")


class RevocationSource(Protocol):
    """A source of revocations."""

    @property
    def name(self) -> str:
        """Return where it reads, for messages."""

    def parts(self) -> Iterable[RevocationPart]:
        """Yield all revocations that were read."""

    async def poll(self, changed: Callable[[], None]) -> None:
        """Read the changes, and call ``changed`` after each entry. Raises ``Fault``."""


class RevocationPoller:
    """The source, its revocations, and the loop that reads it."""

    def __init__(
        self,
        source: RevocationSource,
        *,
        poll_seconds: float,
        max_age_seconds: float,
        clock: Callable[[], float],
        jitter: Callable[[], float],
        publish: Callable[[Revocations, KeyState], None],
        on_state: Callable[[KeyState, KeyState, str], None],
    ) -> None:
        """``publish`` gets the list whenever it or its state has changed."""
        self.source = source
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._publish = publish
        self._on_state = on_state
        pace = PollPace(lambda: self._poll_seconds, jitter)
        self._loop = PollLoop(self._read, lambda: pace.pause_seconds(self.status))
        self.lifecycle = Lifecycle(max_age_seconds)
        self.status = PollStatus(
            "revocations", source.name, _log, kept="the revocations known before stay in force"
        )
        self.revocations = NOTHING_REVOKED
        """What was published last, and with which state."""
        self._state = KeyState.INIT

    async def load(self) -> None:
        """Read everything for the first time. Raises ``Fault`` if an entry can't be read."""
        try:
            await self.source.poll(self._changed)
        except Exception as exc:  # noqa: BLE001 - at a start, one sentence of whatever it was
            raise self.status.failed(exc) from None
        self._refreshed()
        self._changed()

    async def run(self) -> None:
        """Read until cancelled."""
        await self._loop.run()

    def set_times(self, poll_seconds: float, max_age_seconds: float) -> None:
        """Poll at another interval, and age by another limit, from now on."""
        if poll_seconds != self._poll_seconds:
            self._loop.refresh_soon()
        self._poll_seconds = poll_seconds
        self.lifecycle.max_age_seconds = max_age_seconds

    def refresh_soon(self) -> None:
        """Have the loop read at once (SIGHUP)."""
        self._loop.refresh_soon()

    async def refresh(self) -> KeyState:
        """Read now; returns the state after it. One round at a time."""
        await self._loop.refresh()
        return self.lifecycle.state

    async def _read(self) -> None:
        before = self.lifecycle.state
        try:
            await self.source.poll(self._changed)
            self._changed()  # what has ceased to matter goes
        except Exception as exc:  # noqa: BLE001 - the poll's edge: the loop goes on
            fault = self.status.failed(exc)
            self.lifecycle.failed(self._clock())
            self._report_state(before, str(fault))
        else:
            self._refreshed()
            self._report_state(before, "")

    def _refreshed(self) -> None:
        self.lifecycle.refreshed(self._clock())
        self.status.succeeded()

    def _changed(self) -> None:
        """Publish what is revoked now and how fresh it is, where either is another.

        Taken note of once it is published: where that fails, the next poll does it.
        """
        revocations, state = Revocations.of(self.source.parts()), self.lifecycle.state
        if revocations == self.revocations:
            revocations = self.revocations
        if revocations is not self.revocations or state is not self._state:
            self._publish(revocations, state)
            self.revocations, self._state = revocations, state

    def _report_state(self, before: KeyState, why: str) -> None:
        try:
            self._changed()
        except Exception as exc:  # noqa: BLE001 - the poll's edge: the next one publishes it
            self.status.failed(exc)
        after = self.lifecycle.state
        if after is not before:
            self._on_state(before, after, why)
