"""Polls the revocations, separately from the keys, with their own state, age and alert.

A failure to read the list does not affect the keys, nor the other way round. The last list
stays in force. At the start everything must be readable: otherwise revoked tokens would pass.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from sidecar.common.polling import PollStatus
from sidecar.keys.lifecycle import KeyState, Lifecycle
from sidecar.tokens.revocation import NOTHING_REVOKED, RevocationPart, Revocations

_log = logging.getLogger("sidecar.keys")
_JITTER_SHARE = 0.2


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
        self._source = source
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._jitter = jitter
        self._publish = publish
        self._on_state = on_state
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self.lifecycle = Lifecycle(max_age_seconds)
        self.status = PollStatus(
            "revocations", source.name, _log, kept="the revocations known before stay in force"
        )
        self.revocations = NOTHING_REVOKED

    async def load(self) -> None:
        """Read everything for the first time. Raises ``Fault`` if an entry can't be read."""
        try:
            await self._source.poll(self._changed)
        except Exception as exc:  # noqa: BLE001 - at the start, one message for any cause
            raise self.status.failed(exc) from None
        self._refreshed()

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            pause = self._poll_seconds * (1 - _JITTER_SHARE * self._jitter())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)
            self._wake.clear()
            await self.refresh()

    def refresh_soon(self) -> None:
        """Let the loop read at once (SIGHUP)."""
        self._wake.set()

    async def refresh(self) -> KeyState:
        """Read now; return the state after it. One round runs at a time."""
        async with self._lock:
            before = self.lifecycle.state
            try:
                await self._source.poll(self._changed)
            except Exception as exc:  # noqa: BLE001 - the edge of a poll: the loop continues
                fault = self.status.failed(exc)
                self.lifecycle.failed(self._clock())
                self._report_state(before, str(fault))
            else:
                self._refreshed()
                self._report_state(before, "")
        return self.lifecycle.state

    def _refreshed(self) -> None:
        self.lifecycle.refreshed(self._clock())
        self.status.succeeded()
        self._changed()  # drop revocations whose tokens have all expired

    def _changed(self) -> None:
        """Publish the revocations, if they have changed."""
        revocations = Revocations.of(self._source.parts())
        if revocations != self.revocations:
            self.revocations = revocations
            self._publish(revocations, self.lifecycle.state)

    def _report_state(self, before: KeyState, why: str) -> None:
        after = self.lifecycle.state
        if after is not before:
            self._publish(self.revocations, after)
            self._on_state(before, after, why)
