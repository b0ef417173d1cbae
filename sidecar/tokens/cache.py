"""Tokens that were verified before: the same bytes need no second signature check.

Keyed by the SHA-256 of the credential, so that no credential is kept. Only what verified
goes in, so forged tokens can neither fill the table nor push anybody out. An entry is
used again only while its key is the very key in the ring, and its times are held against
the clock each time; revocations are asked by the pipeline, cached or not.

When the table is full, what has expired goes; if nothing has, the oldest eighth goes.
"""

import msgspec

from sidecar.errors import Denied
from sidecar.keys.keyring import KeyRing
from sidecar.tokens.claims import ClaimsPolicy, check_time
from sidecar.tokens.verifier import VerifiedToken

DEFAULT_ENTRIES = 65_536
_EVICT_SHARE = 8


class Remembered(msgspec.Struct, gc=False):
    """One verified token, what was found in it, and its part of an encoded answer.

    ``answer`` is ``None`` until somebody encodes it.
    """

    token: VerifiedToken
    warnings: tuple[str, ...]
    answer: tuple[bytes, bytes] | None = None


class TokenCache:
    """A bounded table of verified tokens. One thread, no locks."""

    __slots__ = ("_entries", "_max_entries", "evicted", "hits", "misses")

    def __init__(self, max_entries: int = DEFAULT_ENTRIES) -> None:
        self._entries: dict[bytes, Remembered] = {}
        self._max_entries = max_entries
        self.hits = 0
        self.misses = 0
        self.evicted = 0

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._entries)

    def get(
        self, digest: bytes, ring: KeyRing, policy: ClaimsPolicy, now: float
    ) -> Remembered | None:
        """Return what is remembered of a token, if its key and its times still hold.

        A token whose time has come is verified anew: the verifier says why it is refused.
        """
        entry = self._entries.get(digest)
        if entry is None:
            self.misses += 1
            return None
        token = entry.token
        if token.key not in ring.find(token.kid):
            del self._entries[digest]
            self.misses += 1
            return None
        try:
            check_time(token.claims, policy, now)
        except Denied:
            self.misses += 1
            return None
        self.hits += 1
        return entry

    def put(
        self, digest: bytes, token: VerifiedToken, warnings: tuple[str, ...], now: float
    ) -> Remembered:
        """Remember a token that was verified just now."""
        if self._max_entries and len(self._entries) >= self._max_entries:
            self._make_room(now)
        entry = Remembered(token, warnings)
        if self._max_entries:
            self._entries[digest] = entry
        return entry

    def _make_room(self, now: float) -> None:
        expired = [
            digest for digest, entry in self._entries.items() if entry.token.claims.expires_at < now
        ]
        going = expired or list(self._entries)[: max(1, self._max_entries // _EVICT_SHARE)]
        for digest in going:
            del self._entries[digest]
        self.evicted += len(going)
