"""Refreshes the keys: reads every source and publishes the resulting key ring.

One loop. It reads often enough that a new key is known within ``poll_seconds`` (jitter only
makes it earlier; after an outage of every source, within ``sidecar.common.poll_pace``'s longest
pause), at once on request, and early when a token names an unknown kid, because the
first token after a rotation does. Early refreshes are rate-limited, so that random kids cost
Vault nothing. No request ever waits for a refresh.

Whatever happens to a source (unavailable, frozen, forbidden, no key in it, an exception of a
library), its last keys stay in force, and the state says how old they are.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from sidecar.common.poll_pace import PollPace
from sidecar.common.polling import PollLoop, PollStatus, fault_of
from sidecar.config import model
from sidecar.keys.lifecycle import KeyState, Lifecycle, worst
from sidecar.keys.rotation import IssuerKeys, Statement, window_end
from sidecar.keys.skipped_keys import SkippedKeys
from sidecar.keys.sources import HoldsFresh, KeySource
from sidecar.tokens.keyring import KeyRing, VerificationKey

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
    skipped: SkippedKeys

    @property
    def outcomes(self) -> dict[str, int]:
        """Return the number of reads by outcome."""
        return self.status.outcomes


class PolledSource(NamedTuple):
    """A source, the keys it has stated over time, and how its reads go."""

    source: KeySource
    keys: IssuerKeys
    status: KeySourceStatus


class KeyPlan(NamedTuple):
    """Which sources are polled, and by which settings. A reload replaces it as a whole."""

    polled: tuple[PolledSource, ...]
    settings: model.Keys
    token_seconds: Mapping[str, float]
    """How long a token can be valid, by issuer."""

    def window_seconds(self, issuer: str) -> float:
        """Return how long a replaced key of an issuer still verifies.

        As long as this issuer's tokens may live: not as long as another's.
        """
        return window_seconds(self.settings, self.token_seconds[issuer])

    def verifying(self, revoked_kids: frozenset[str]) -> Iterator[VerificationKey]:
        """Yield the keys that verify now."""
        denied = {*self.settings.denied_kids, *revoked_kids}
        for each in self.polled:
            yield from each.keys.verifying(denied)


def key_plan(
    sources: Sequence[KeySource],
    settings: model.Keys,
    token_seconds: Mapping[str, float],
    kept: Mapping[KeySource, PolledSource] = MappingProxyType({}),
) -> KeyPlan:
    """Return the plan for these sources; those that were ``kept`` keep their keys and state.

    ``token_seconds`` is how long a token can be valid, lifetime and leeway, by issuer.
    """
    polled = (
        kept[each] if each in kept else _new(each, settings, token_seconds) for each in sources
    )
    return KeyPlan(tuple(polled), settings, token_seconds)


def _new(
    source: KeySource, settings: model.Keys, token_seconds: Mapping[str, float]
) -> PolledSource:
    window = window_seconds(settings, token_seconds[source.issuer])
    return PolledSource(source, IssuerKeys(window), _status_of(source, settings))


class KeyRefresher:
    """The sources, their keys, and the loop that reads them."""

    def __init__(
        self,
        sources: Sequence[KeySource],
        settings: model.Keys,
        *,
        token_seconds: Mapping[str, float],
        clock: Callable[[], float],
        now: Now,
        jitter: Callable[[], float],
        publish: Callable[[KeyView], None],
        on_state: Callable[[KeyState, KeyState, str], None],
    ) -> None:
        """``token_seconds`` is how long a token can be valid, by issuer: lifetime and leeway."""
        self.plan = key_plan(sources, settings, token_seconds)
        self._clock = clock
        self._now = now
        self._publish = publish
        self._on_state = on_state
        self._revoked_kids: frozenset[str] = frozenset()
        self._pace = PollPace(lambda: self.plan.settings.poll_seconds, jitter)
        self._loop = PollLoop(self._round, self._pause_seconds)
        self._early_refresh_at: float | None = None
        self.view = KeyView(KeyRing(), KeyState.INIT)
        self.changed_at = now()
        """When which keys verify last changed (Unix seconds)."""

    @property
    def statuses(self) -> tuple[KeySourceStatus, ...]:
        """The status of every source, in the order of the issuers."""
        return tuple(each.status for each in self.plan.polled)

    async def prepare(self, plan: KeyPlan, revoked_kids: frozenset[str]) -> None:
        """Read the sources of another plan that are not polled yet. Nothing is published.

        Raises the first ``Fault``, also where the plan has more keys than a ring may hold.
        """
        polled = {each.source for each in self.plan.polled}
        fresh = plan._replace(polled=tuple(p for p in plan.polled if p.source not in polled))
        faults = await self._read(fresh)
        if faults:
            raise faults[0]
        KeyRing(plan.verifying(revoked_kids))

    def adopt(self, plan: KeyPlan) -> None:
        """Poll by another plan from now on, and publish its keys, if they differ."""
        before, self.plan = self.plan, plan
        for each in plan.polled:
            each.status.lifecycle.max_age_seconds = plan.settings.max_age_seconds
        self._publish_view([])
        if plan.settings.poll_seconds != before.settings.poll_seconds:
            self._loop.refresh_soon()

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
        self._revalidate()
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
        self._revalidate()
        self._loop.refresh_soon()

    def request_refresh(self) -> None:
        """Refresh early for an unknown kid, at most every ``EARLY_REFRESH_SECONDS``."""
        now = self._clock()
        if self._early_refresh_at is None or now - self._early_refresh_at >= EARLY_REFRESH_SECONDS:
            self._early_refresh_at = now
            self.refresh_soon()

    def _revalidate(self) -> None:
        """Have sources that hold fresh answers ask all the same."""
        for each in self.plan.polled:
            if isinstance(each.source, HoldsFresh):
                each.source.revalidate()

    def _pause_seconds(self) -> float:
        """Return how long to wait: the poll, or less if a replaced key ends before."""
        pause = self._pace.pause_seconds(*(each.status for each in self.statuses))
        ends = [end for p in self.plan.polled if (end := p.keys.next_expiry()) is not None]
        return max(0.01, min([pause, *(end - self._clock() for end in ends)]))

    async def _round(self) -> list[Fault]:
        """Read every source, and publish. A plan adopted meanwhile is the one published."""
        return self._publish_view(await self._read(self.plan))

    async def _read(self, plan: KeyPlan) -> list[Fault]:
        outcomes = await asyncio.gather(*(_outcome_of(each.source) for each in plan.polled))
        now = self._clock()
        faults: list[Fault] = []
        for polled, outcome in zip(plan.polled, outcomes, strict=True):
            self._take(plan, polled, outcome, now)
            if isinstance(outcome, Fault):
                faults.append(outcome)
            polled.keys.expire(now)
        return faults

    def _take(
        self, plan: KeyPlan, polled: PolledSource, outcome: Statement | Fault, now: float
    ) -> None:
        """Apply one source's outcome: its statement, or a fault."""
        keys, status = polled.keys, polled.status
        if isinstance(outcome, Fault):
            status.lifecycle.failed(now)
            status.status.failed(outcome)
            return
        seen_live = status.lifecycle.refreshed_at is not None
        for earlier in outcome.earlier:
            until = now + self._window_of(plan, polled, earlier.written_at, seen_live)
            keys.refresh(earlier.keys, now, until)
        until = now + self._window_of(plan, polled, outcome.written_at, seen_live)
        keys.refresh(outcome.keys, now, until)
        keys.withdraw(outcome.gone)
        status.skipped.take(outcome.skipped)
        status.lifecycle.refreshed(now)
        status.status.succeeded()

    def _window_of(
        self, plan: KeyPlan, polled: PolledSource, written_at: float | None, seen_live: bool
    ) -> float:
        """Return the seconds until the keys that a statement replaced stop verifying."""
        age = None if written_at is None else self._now() - written_at
        window = plan.window_seconds(polled.source.issuer)
        return window_end(window, plan.settings.poll_seconds, age, seen_live=seen_live)

    def _publish_view(self, faults: list[Fault]) -> list[Fault]:
        """Publish the view if it has changed; return the faults."""
        before = self.view
        state = worst([source.lifecycle.state for source in self.statuses])
        try:
            ring = KeyRing(self.plan.verifying(self._revoked_kids))
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
            kids, self.changed_at = ", ".join(key.kid for key in ring), self._now()
            _log.info("keys that verify: %s", kids or "none", extra={"count": len(ring)})
        if state is not before.state:
            self._on_state(before.state, state, str(faults[0]) if faults else "")
        return faults


def window_seconds(settings: model.Keys, token_seconds: float) -> float:
    """Return how long a replaced key still verifies."""
    window = settings.dual_key_seconds
    return token_seconds if window is None else window


def _status_of(source: KeySource, settings: model.Keys) -> KeySourceStatus:
    status = PollStatus(
        f"keys/{source.issuer}", source.name, _log, kept="its last keys stay in force"
    )
    skipped = SkippedKeys(source.name, _log)
    return KeySourceStatus(source.name, Lifecycle(settings.max_age_seconds), status, skipped)


async def _outcome_of(source: KeySource) -> Statement | Fault:
    """Read a source; return any exception as a ``Fault``."""
    try:
        return await source.fetch()
    except Exception as exc:  # noqa: BLE001 - the edge of a poll: the keys in memory stay in force
        return fault_of(exc, source.name)
