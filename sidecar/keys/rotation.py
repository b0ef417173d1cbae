"""Which of an issuer's keys verify while its source changes. Pure.

A source states which keys there are. Between two statements a key can appear, stay or
vanish, and vanishing has two meanings:

- *Replaced*: it vanishes in the very refresh in which another key appears. That is how a
  source that holds one key (a PEM in KV) rotates. Tokens it signed a moment ago are good
  tokens, so it verifies for the dual-key window longer: the life of a token and the
  leeway, after every sidecar had seen the new key (SECURITY-MODEL §2, "dual-key strategy").
- *Withdrawn*: it vanishes and nothing takes its place, or its kid is on the deny list.
  An operator wants it gone. It stops verifying with this refresh.

A key verifies for as long as its source lists it.

A sidecar that was started a moment ago has seen no key vanish. If the source stores its
earlier statements and their times (Vault KV), these are read too: ``Statement.earlier`` is taken as
if it had been read in its time, by the rules above, so a restart denies no good token and a
fleet agrees. ``window_end`` says from when a window counts.
"""

from collections.abc import Iterable
from typing import NamedTuple

from sidecar.keys.key_set import SkippedKey
from sidecar.tokens.keyring import VerificationKey

MAX_RETIRED = 16


class Earlier(NamedTuple):
    """An earlier statement of a source."""

    keys: tuple[VerificationKey, ...]
    written_at: float
    """When that was written (Unix seconds)."""


class Statement(NamedTuple):
    """The current keys and, as far as the source knows, since when, and the keys before."""

    keys: tuple[VerificationKey, ...]
    written_at: float | None = None
    """When it was written (Unix seconds)."""
    earlier: tuple[Earlier, ...] = ()
    """Earlier statements that were not read when they were current, oldest first."""
    gone: frozenset[str] = frozenset()
    """Kids of earlier statements that were deleted since: they are withdrawn."""
    skipped: tuple[SkippedKey, ...] = ()
    """What is listed and not used."""


def window_end(
    window_seconds: float, poll_seconds: float, age_seconds: float | None, *, seen_live: bool
) -> float:
    """Return the seconds until the window of a replaced key ends.

    The window begins when the last sidecar has seen the new key: one poll after it was
    written. A running sidecar that sees it later was cut off, and so may the signer have been;
    then the window begins when it is seen. ``age_seconds`` is how long ago the new key was
    written, ``None`` if that is unknown. With a window of 0 the key stops at once.
    """
    if age_seconds is None or not window_seconds:
        return window_seconds
    begins_in = poll_seconds - max(0.0, age_seconds)
    return window_seconds + (max(0.0, begins_in) if seen_live else begins_in)


class Retired(NamedTuple):
    """A replaced key, and until when it verifies (monotonic seconds)."""

    key: VerificationKey
    until: float


class IssuerKeys:
    """The keys of one issuer, over all refreshes."""

    def __init__(self, window_seconds: float) -> None:
        self._window_seconds = window_seconds
        self._listed: dict[str, VerificationKey] = {}
        self._retired: dict[str, Retired] = {}

    def refresh(
        self, listed: Iterable[VerificationKey], now: float, until: float | None = None
    ) -> None:
        """Apply a statement of the source; replaced keys verify until ``until``.

        Without it, they verify for a window from now on.
        """
        until = now + self._window_seconds if until is None else until
        fresh = {key.kid: self._known(key) for key in listed}
        appeared = fresh.keys() - self._listed.keys() - self._retired.keys()
        vanished = self._listed.keys() - fresh.keys()
        for kid in vanished:
            if appeared:
                self._retired[kid] = Retired(self._listed[kid], until)
        for kid in fresh:
            self._retired.pop(kid, None)
        while len(self._retired) > MAX_RETIRED:
            del self._retired[next(iter(self._retired))]
        self._listed = fresh

    def withdraw(self, kids: Iterable[str]) -> None:
        """Drop replaced keys before the end of their window."""
        for kid in kids:
            self._retired.pop(kid, None)

    def _known(self, key: VerificationKey) -> VerificationKey:
        """Return the existing object for an equal key, because cached tokens refer to it.

        A key that is bound to another algorithm now is another key.
        """
        held = self._listed.get(key.kid)
        if held is None and key.kid in self._retired:
            held = self._retired[key.kid].key
        return key if held is None or held != key else held

    def expire(self, now: float) -> bool:
        """Drop replaced keys whose window has ended; return whether there were any."""
        gone = [kid for kid, retired in self._retired.items() if now >= retired.until]
        for kid in gone:
            del self._retired[kid]
        return bool(gone)

    def next_expiry(self) -> float | None:
        """Return when the next replaced key ends."""
        return min((retired.until for retired in self._retired.values()), default=None)

    def retired_until(self, kid: str) -> float | None:
        """Return until when a replaced key verifies; ``None`` for one that is listed."""
        retired = self._retired.get(kid)
        return None if retired is None else retired.until

    def verifying(self, denied: Iterable[str] = ()) -> list[VerificationKey]:
        """Return the keys that verify now, without denied ones."""
        refused = frozenset(denied)
        keys = [*self._listed.values(), *(retired.key for retired in self._retired.values())]
        return [key for key in keys if key.kid not in refused]
