"""Tokens that were verified before: the same bytes need no second signature check.

Keyed by the SHA-256 of the credential, so that no credential is kept. Only what verified
goes in, so forged tokens can neither fill the table nor push anybody out. An entry is
used again only while its key is the very key in the ring, and its times are held against
the clock each time; revocations are asked by the pipeline, cached or not.

When the table is full, what has expired goes; if nothing has, the oldest eighth goes.
"""

from sidecar.tokens.claims import ClaimsPolicy, validity
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.validity import Validity
from sidecar.tokens.verifier import VerifiedToken

DEFAULT_ENTRIES = 65_536
_EVICT_SHARE = 8
_DIGEST_BYTES = 16


def digest_text(digest: bytes) -> str:
    """Return the beginning of a credential's digest: finds a token in the audit log, is not one."""
    return digest[:_DIGEST_BYTES].hex()


class CachedToken(Validity, gc=False):
    """One verified token, what was found in it, and what an answer is made of.

    It is good while ``holds_at(now)``. The rest belongs to ``sidecar.authz.response_cache``:
    the token's own runs of an encoded answer, the number of its standing, and the epoch in
    which it was decided upon; ``note`` to those who count and record.
    """

    digest: bytes
    token: VerifiedToken
    warnings: tuple[str, ...]
    runs: tuple[bytes, bytes] | None = None
    principal_key: int = 0
    epoch: int = 0
    note: tuple[bytes, bytes] | None = None


class TokenCache:
    """A bounded table of verified tokens. One thread, no locks."""

    __slots__ = ("_max_entries", "entries", "evicted", "hits", "misses")

    def __init__(self, max_entries: int = DEFAULT_ENTRIES) -> None:
        self.entries: dict[bytes, CachedToken] = {}
        """By digest; for reading. What is read here is held against the clock by who reads."""
        self._max_entries = max_entries
        self.hits = 0
        self.misses = 0
        self.evicted = 0

    def __len__(self) -> int:
        """Count the entries."""
        return len(self.entries)

    def get(self, digest: bytes, ring: KeyRing, now: float) -> CachedToken | None:
        """Return what is remembered of a token, if its key and its times still hold.

        A token whose time has come is verified anew: the verifier says why it is refused.
        """
        entry = self.entries.get(digest)
        if entry is None:
            self.misses += 1
            return None
        token = entry.token
        if token.key not in ring.find(token.kid):
            del self.entries[digest]
            self.misses += 1
            return None
        if not entry.holds_at(now):
            self.misses += 1
            return None
        self.hits += 1
        return entry

    def put(
        self,
        digest: bytes,
        token: VerifiedToken,
        warnings: tuple[str, ...],
        policy: ClaimsPolicy,
        now: float,
    ) -> CachedToken:
        """Remember a token that was verified just now."""
        if self._max_entries and len(self.entries) >= self._max_entries:
            self._make_room(now)
        span = validity(token.claims, policy)
        entry = CachedToken(span.starts_at, span.ends_at, digest, token, warnings)
        if self._max_entries:
            self.entries[digest] = entry
        return entry

    def _make_room(self, now: float) -> None:
        expired = [digest for digest, entry in self.entries.items() if entry.is_over_at(now)]
        going = expired or list(self.entries)[: max(1, self._max_entries // _EVICT_SHARE)]
        for digest in going:
            del self.entries[digest]
        self.evicted += len(going)
