"""Keys of days, for addresses of requests that have no subject. Pure.

Each day's key is the hash of the one before it. Kept is the oldest one that is still to be known:
who moves it on can't compute what came before.
"""

import secrets
from hashlib import sha256
from typing import NamedTuple

KEY_BYTES = 16
DAY_SECONDS = 86_400
MAX_DAYS = 4000
"""So many days after the oldest one have a key; a clock that says more is wrong."""


class DayKeys(NamedTuple):
    """The oldest day (days since the Unix epoch) of which the key is known, and its key."""

    day: int
    key: bytes

    @classmethod
    def fresh(cls, day: int) -> "DayKeys":
        """Return a random key for a day and what follows it."""
        return cls(day, secrets.token_bytes(KEY_BYTES))

    def __repr__(self) -> str:
        """Show no key."""
        return f"DayKeys(from day {self.day})"

    def key_of(self, day: int) -> bytes:
        """Return the key of a day; of a day that has none, that of the nearest that has one."""
        key = self.key
        for _ in range(min(max(0, day - self.day), MAX_DAYS)):
            key = sha256(key).digest()[:KEY_BYTES]
        return key

    def since(self, day: int) -> "DayKeys":
        """Return the keys from a later day on."""
        return self if day <= self.day else DayKeys(day, self.key_of(day))
