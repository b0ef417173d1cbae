"""The cache of verified tokens: the same bytes need no second signature check.

It is keyed by the SHA-256 of the credential, so that no credential is stored. Only verified
tokens enter it, so forged tokens can neither fill the table nor evict an entry. An entry is
used only while its key is the same object as the key in the ring, and its times are compared
with the clock on every use; the evaluation checks revocations, cached or not.

When the table is full, expired entries are evicted; if there are none, the oldest eighth is.
"""

from typing import Any

from sidecar.tokens.claims import validity
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.policy import IssuerPolicy
from sidecar.tokens.validity import Validity
from sidecar.tokens.verifier import VerifiedToken

DEFAULT_ENTRIES = 65_536
_EVICT_SHARE = 8
_DIGEST_BYTES = 16


def digest_text(digest: bytes) -> str:
    """Return the beginning of a credential's digest, which identifies it in the audit log."""
    return digest[:_DIGEST_BYTES].hex()


class CachedToken(Validity, gc=False):
    """One verified token, the warnings about it, and its fields of an encoded answer.

    It is valid while ``holds_at(now)``. The rest belongs to ``sidecar.authz.response_cache``:
    the token's own encoded fields, the number of its principal key, and the epoch in which it
    was last evaluated. ``note`` belongs to the decision recorder, ``digest_text`` to rate limits:
    empty until a limit counts by the token.
    """

    digest: bytes
    token: VerifiedToken
    warnings: tuple[str, ...]
    encoded_fields: tuple[bytes, bytes, *tuple[Any, ...]] | None = None
    principal_key: int = 0
    epoch: int = 0
    note: tuple[bytes, bytes] | None = None
    digest_text: str = ""


class TokenCache:
    """A bounded table of verified tokens. One thread, no locks."""

    __slots__ = ("_max_entries", "entries", "evicted", "hits", "misses")

    def __init__(self, max_entries: int = DEFAULT_ENTRIES) -> None:
        self.entries: dict[bytes, CachedToken] = {}
        """By digest, for reading. The reader must compare the entry's times with the clock."""
        self._max_entries = max_entries
        self.hits = 0
        self.misses = 0
        self.evicted = 0

    def __len__(self) -> int:
        """Count the entries."""
        return len(self.entries)

    def get(self, digest: bytes, ring: KeyRing, now: float) -> CachedToken | None:
        """Return a token's entry, if its key and its times are still valid.

        ``None`` for an expired token: it is verified again, and the verifier says why it is
        denied.
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
        policy: IssuerPolicy,
        now: float,
    ) -> CachedToken:
        """Cache a token that was just verified by the rules of its issuer."""
        if self._max_entries and len(self.entries) >= self._max_entries:
            self._evict(now)
        span = validity(token.claims, policy)
        entry = CachedToken(span.starts_at, span.ends_at, digest, token, warnings)
        if self._max_entries:
            self.entries[digest] = entry
        return entry

    def resize(self, max_entries: int) -> None:
        """Hold at most so many entries from now on; the oldest go, where there are more."""
        self._max_entries = max_entries
        over = len(self.entries) - max_entries
        if over > 0:
            for digest in list(self.entries)[:over]:
                del self.entries[digest]
            self.evicted += over

    def _evict(self, now: float) -> None:
        expired = [digest for digest, entry in self.entries.items() if entry.is_over_at(now)]
        going = expired or list(self.entries)[: max(1, self._max_entries // _EVICT_SHARE)]
        for digest in going:
            del self.entries[digest]
        self.evicted += len(going)
