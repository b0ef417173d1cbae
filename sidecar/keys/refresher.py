"""Refreshes the keys: reads every source and publishes the resulting key ring.

One loop. It reads often enough that a new key is known within ``poll_seconds`` (jitter only
makes it earlier), at once on request, and early when a token names an unknown kid, because the
first token after a rotation does. Early refreshes are rate-limited, so that random kids cost
Vault nothing. No request ever waits for a refresh.

Whatever happens to a source (unavailable, frozen, forbidden, no key in it, an exception of a
library), its last keys stay in force, and the state says how old they are.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from sidecar.common.polling import PollLoop, PollStatus, fault_of
from sidecar.config import model
from sidecar.keys.lifecycle import KeyState, Lifecycle, worst
from sidecar.keys.rotation import IssuerKeys, Statement, window_end
from sidecar.keys.sources import KeySource
from sidecar.tokens.keyring import KeyRing, VerificationKey
from workload.backoff import with_jitter

_log = logging.getLogger("sidecar.keys")
EARLY_REFRESH_SECONDS = 5.0


class KeyView(NamedTuple):
    """The key ring and its state, for Checks."""

    ring: KeyRing
    state: KeyState


class KeySourceStatus(NamedTuple):
    """The status of one source, for metrics and ``/readyz``."""

    name: str
    lifecycle: Lifecycle
    status: PollStatus

    @property
    def outcomes(self) -> dict[str, int]:
        """Return the number of reads by outcome."""
        return self.status.outcomes


class KeyRefresher:
    """The sources, their keys, and the loop that reads them."""

    def __init__(
        self,
        sources: Sequence[KeySource],
        settings: model.Keys,
        *,
        token_seconds: float,
        clock: Callable[[], float],
        now: Now,
        jitter: Callable[[], float],
        publish: Callable[[KeyView], None],
        on_state: Callable[[KeyState, KeyState, str], None],
    ) -> None:
        """``token_seconds`` is how long a token can be valid: the longest lifetime and leeway."""
        self._settings = settings
        self._window_seconds = window_seconds(settings, token_seconds)
        self._sources = tuple(sources)
        self._keys = tuple(IssuerKeys(self._window_seconds) for _ in self._sources)
        self.statuses = tuple(_status_of(source, settings) for source in self._sources)
        self._clock = clock
        self._now = now
        self._jitter = jitter
        self._publish = publish
        self._on_state = on_state
        self._revoked_kids: frozenset[str] = frozenset()
        self._loop = PollLoop(self._round, self._pause_seconds)
        self._early_refresh_at: float | None = None
        self.view = KeyView(KeyRing(), KeyState.INIT)

    async def load(self) -> None:
        """Read every source for the first time. Raises the first ``Fault``."""
        faults = await self._round()
        if faults:
            raise faults[0]

    async def run(self) -> None:
        """Refresh until cancelled."""
        await self._loop.run()

    async def refresh(self) -> KeyState:
        """Ask every source now; returns the state after it. One round at a time."""
        await self._loop.refresh()
        return self.view.state

    def revoke(self, kids: frozenset[str]) -> None:
        """Stop these kids from verifying, and publish that at once."""
        if kids != self._revoked_kids:
            self._revoked_kids = kids
            if self.view.state is not KeyState.INIT:
                self._publish_view([])

    def refresh_soon(self) -> None:
        """Have the loop ask at once (SIGHUP)."""
        self._loop.refresh_soon()

    def request_refresh(self) -> None:
        """Refresh early for an unknown kid, at most every ``EARLY_REFRESH_SECONDS``."""
        now = self._clock()
        if self._early_refresh_at is None or now - self._early_refresh_at >= EARLY_REFRESH_SECONDS:
            self._early_refresh_at = now
            self._loop.refresh_soon()

    def _pause_seconds(self) -> float:
        """Return how long to wait: the poll, or less if a replaced key ends before."""
        pause = with_jitter(self._settings.poll_seconds, self._jitter())
        ends = [end for keys in self._keys if (end := keys.next_expiry()) is not None]
        return max(0.01, min([pause, *(end - self._clock() for end in ends)]))

    async def _round(self) -> list[Fault]:
        outcomes = await asyncio.gather(*map(_outcome_of, self._sources))
        now = self._clock()
        faults: list[Fault] = []
        for position, (source, outcome) in enumerate(zip(self.statuses, outcomes, strict=True)):
            self._take(position, source, outcome, now)
            if isinstance(outcome, Fault):
                faults.append(outcome)
        for keys in self._keys:
            keys.expire(now)
        return self._publish_view(faults)

    def _take(
        self, position: int, source: KeySourceStatus, outcome: Statement | Fault, now: float
    ) -> None:
        """Apply one source's outcome: its statement, or a fault."""
        if isinstance(outcome, Fault):
            source.lifecycle.failed(now)
            source.status.failed(outcome)
            return
        keys = self._keys[position]
        seen_live = source.lifecycle.refreshed_at is not None
        for earlier in outcome.earlier:
            keys.refresh(earlier.keys, now, now + self._window_of(earlier.written_at, seen_live))
        keys.refresh(outcome.keys, now, now + self._window_of(outcome.written_at, seen_live))
        keys.withdraw(outcome.gone)
        source.lifecycle.refreshed(now)
        source.status.succeeded()

    def _window_of(self, written_at: float | None, seen_live: bool) -> float:
        """Return the seconds until the keys that a statement replaced stop verifying."""
        age = None if written_at is None else self._now() - written_at
        return window_end(
            self._window_seconds, self._settings.poll_seconds, age, seen_live=seen_live
        )

    def _publish_view(self, faults: list[Fault]) -> list[Fault]:
        """Publish the view if it has changed; return the faults."""
        before = self.view
        state = worst([source.lifecycle.state for source in self.statuses])
        try:
            ring = KeyRing(self._verifying())
        except Fault as fault:  # more keys than a ring may hold: the last ring stays
            faults = [*faults, fault]
            ring = KeyRing(key for key in before.ring if key.kid not in self._revoked_kids)
            state = worst([state, KeyState.OUTAGE if before.ring else KeyState.INIT])
        # An equal ring stays the same object, because caches of Checks depend on its identity.
        if tuple(ring) == tuple(before.ring):
            ring = before.ring
        view = KeyView(ring, state)
        if view != before:
            self._publish(view)
            self.view = view  # once it is published: where that fails, the next round does it
        if {(k.kid, k.issuer) for k in ring} != {(k.kid, k.issuer) for k in before.ring}:
            kids = ", ".join(key.kid for key in ring)
            _log.info("keys that verify: %s", kids or "none", extra={"count": len(ring)})
        if state is not before.state:
            self._on_state(before.state, state, str(faults[0]) if faults else "")
        return faults

    def _verifying(self) -> Iterator[VerificationKey]:
        denied = {*self._settings.denied_kids, *self._revoked_kids}
        for keys in self._keys:
            yield from keys.verifying(denied)


def window_seconds(settings: model.Keys, token_seconds: float) -> float:
    """Return how long a replaced key still verifies."""
    window = settings.dual_key_seconds
    return token_seconds if window is None else window


def _status_of(source: KeySource, settings: model.Keys) -> KeySourceStatus:
    status = PollStatus(
        f"keys/{source.issuer}", source.name, _log, kept="its last keys stay in force"
    )
    return KeySourceStatus(source.name, Lifecycle(settings.max_age_seconds), status)


async def _outcome_of(source: KeySource) -> Statement | Fault:
    """Read a source; return any exception as a ``Fault``."""
    try:
        return await source.fetch()
    except Exception as exc:  # noqa: BLE001 - the edge of a poll: the keys in memory stay in force
        return fault_of(exc, source.name)
