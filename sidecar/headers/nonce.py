"""Nonces: 144 bits of the system's generator each, none used twice (CSP3 §7.1).

Eighteen bytes are twenty-four characters of base64 without padding, so a nonce fits a slot
of fixed length, and many are generated at once: a system call for each would cost more than
the rest of an answer.
"""

import os
import weakref
from base64 import urlsafe_b64encode
from collections.abc import Callable

NONCE_BYTES = 18
NONCE_CHARACTERS = 24
NONCE_SLOT = "\0" * NONCE_CHARACTERS
"""Placeholder of a nonce: as long as one, and found nowhere else in a header."""
BATCH = 1024


class NoncePool:
    """Provides nonces. Thread-safe, and after a fork parent and child share none."""

    __slots__ = ("__weakref__", "_entropy", "_ready")

    def __init__(self, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._entropy = entropy
        self._ready: list[bytes] = []
        _pools.add(self)

    def take(self) -> bytes:
        """Return a new nonce: ``NONCE_CHARACTERS`` of base64url."""
        while True:
            try:
                return self._ready.pop()
            except IndexError:
                self._ready.extend(self._batch())

    def forget(self) -> None:
        """Drop the generated nonces."""
        self._ready.clear()

    def _batch(self) -> list[bytes]:
        encoded = urlsafe_b64encode(self._entropy(NONCE_BYTES * BATCH))
        return [
            encoded[start : start + NONCE_CHARACTERS]
            for start in range(0, len(encoded), NONCE_CHARACTERS)
        ]


_pools: "weakref.WeakSet[NoncePool]" = weakref.WeakSet()


def _forget_all() -> None:
    for pool in _pools:
        pool.forget()


os.register_at_fork(after_in_child=_forget_all)
