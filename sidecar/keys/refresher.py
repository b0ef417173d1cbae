"""Keeps the keys fresh: asks every source in turn and publishes what follows.

One loop. It asks often enough that a new key is known within ``poll_seconds`` (jitter
only makes it earlier), at once when told to, and early when a token names a kid that
nobody knows, because that is what the first token after a rotation looks like. Early is
rate-limited: random kids cost Vault nothing. No request ever waits for it.

Whatever a source does (gone, frozen, forbidden, garbage in place of a key), the keys it
gave before stay, and the state says how old they are.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from sidecar.clock import Now
from sidecar.config import model
from sidecar.errors import Fault
from sidecar.keys.keyring import KeyRing, VerificationKey
from sidecar.keys.lifecycle import KeyState, Lifecycle, worst
from sidecar.keys.rotation import IssuerKeys
from sidecar.keys.sources import KeySource
from sidecar.tokens.revocation import NOTHING_REVOKED, RevocationEntry, Revocations

_log = logging.getLogger("sidecar.keys")
NUDGE_SECONDS = 5.0
JITTER_SHARE = 0.2


class RevocationSource(Protocol):
    """Where revocations are listed."""

    @property
    def name(self) -> str:
        """Where it reads, for messages."""

    async def fetch(self) -> RevocationEntry:
        """Read the list; raises ``Fault``."""


class KeyView(NamedTuple):
    """What a Check needs to know of keys."""

    ring: KeyRing
    revocations: Revocations
    state: KeyState


class Part(NamedTuple):
    """One source through time, for metrics."""

    name: str
    lifecycle: Lifecycle
    outcomes: dict[str, int]


class KeyRefresher:
    """The sources, what they gave, and the loop that asks them."""

    def __init__(
        self,
        sources: Sequence[KeySource],
        revocations: RevocationSource | None,
        settings: model.Keys,
        *,
        token_seconds: float,
        clock: Callable[[], float],
        now: Now,
        jitter: Callable[[], float],
        publish: Callable[[KeyView], None],
        on_state: Callable[[KeyState, KeyState, str], None],
    ) -> None:
        """``token_seconds`` is how long a token can matter: its longest life and the leeway."""
        window = settings.dual_key_seconds
        self._settings = settings
        self._token_seconds = token_seconds
        self._sources = tuple(sources)
        self._revocation_source = revocations
        self._keys = tuple(
            IssuerKeys(token_seconds if window is None else window) for _ in self._sources
        )
        names = [source.name for source in self._sources]
        if revocations is not None:
            names.append(revocations.name)
        self.parts = tuple(Part(name, Lifecycle(settings.max_age_seconds), {}) for name in names)
        self._clock = clock
        self._now = now
        self._jitter = jitter
        self._publish = publish
        self._on_state = on_state
        self._entry: RevocationEntry | None = None
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._nudged_at: float | None = None
        self.view = KeyView(KeyRing(), NOTHING_REVOKED, KeyState.INIT)

    async def load(self) -> None:
        """Read every source for the first time; raises the ``Fault`` of the first that fails."""
        faults = await self._round()
        if faults:
            raise faults[0]

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._pause_seconds())
            self._wake.clear()
            await self.refresh()

    async def refresh(self) -> KeyState:
        """Ask every source now; returns the state after it. One round at a time."""
        async with self._turn:
            await self._round()
        return self.view.state

    def refresh_soon(self) -> None:
        """Have the loop ask at once (SIGHUP)."""
        self._wake.set()

    def nudge(self) -> None:
        """Take note of an unknown kid: ask early, at most every ``NUDGE_SECONDS``."""
        now = self._clock()
        if self._nudged_at is None or now - self._nudged_at >= NUDGE_SECONDS:
            self._nudged_at = now
            self._wake.set()

    def _pause_seconds(self) -> float:
        """Return how long to wait: the poll, or less if a replaced key ends before."""
        pause = self._settings.poll_seconds * (1 - JITTER_SHARE * self._jitter())
        ends = [end for keys in self._keys if (end := keys.next_expiry()) is not None]
        return max(0.01, min([pause, *(end - self._clock() for end in ends)]))

    async def _round(self) -> list[Fault]:
        fetches = [_outcome_of(source.fetch()) for source in self._sources]
        if self._revocation_source is not None:
            fetches.append(_outcome_of(self._revocation_source.fetch()))
        outcomes = await asyncio.gather(*fetches)
        now = self._clock()
        faults: list[Fault] = []
        for position, (part, outcome) in enumerate(zip(self.parts, outcomes, strict=True)):
            self._take(position, part, outcome, now)
            if isinstance(outcome, Fault):
                faults.append(outcome)
        for keys in self._keys:
            keys.expire(now)
        self._publish_view(faults)
        return faults

    def _take(self, position: int, part: Part, outcome: object, now: float) -> None:
        """Take one source's outcome: keys, revocations, or a fault."""
        word = type(outcome).__name__ if isinstance(outcome, Fault) else "ok"
        part.outcomes[word] = part.outcomes.get(word, 0) + 1
        if isinstance(outcome, Fault):
            change = part.lifecycle.failed(now)
            level = logging.WARNING if change.before is not change.after else logging.DEBUG
            _log.log(level, "keys not refreshed: %s", outcome, extra={"state": change.after})
            return
        if isinstance(outcome, RevocationEntry):
            self._entry = outcome
        elif isinstance(outcome, tuple):
            self._keys[position].refresh(outcome, now)
        part.lifecycle.refreshed(now)

    def _publish_view(self, faults: list[Fault]) -> None:
        before = self.view
        revocations = NOTHING_REVOKED
        if self._entry is not None:
            revocations = Revocations(self._entry, self._now(), self._token_seconds)
        ring = KeyRing(self._verifying(revocations))
        state = worst([part.lifecycle.state for part in self.parts])
        # What is equal stays the same object: Checks keep what they worked out under it.
        if tuple(ring) == tuple(before.ring):
            ring = before.ring
        if revocations == before.revocations:
            revocations = before.revocations
        view = KeyView(ring, revocations, state)
        if view != before:
            self.view = view
            self._publish(view)
        if {(k.kid, k.issuer) for k in ring} != {(k.kid, k.issuer) for k in before.ring}:
            kids = ", ".join(key.kid for key in ring)
            _log.info("keys that verify: %s", kids or "none", extra={"count": len(ring)})
        if state is not before.state:
            self._on_state(before.state, state, str(faults[0]) if faults else "")

    def _verifying(self, revocations: Revocations) -> Iterator[VerificationKey]:
        denied = {*self._settings.denied_kids, *revocations.kids}
        for keys in self._keys:
            yield from keys.verifying(denied)


async def _outcome_of(fetch: object) -> object:
    """Await a fetch and return what came of it, a ``Fault`` as a value."""
    try:
        return await fetch  # type: ignore[misc]
    except Fault as fault:
        return fault
