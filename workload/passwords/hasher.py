"""Hashing and verifying one password, at a cost that tells nothing about the account. Pure.

**One cost for every refusal.** A stored hash is computed with parameters that the settings name
and never with its own word for them: each accepted set is computed once, with the stored salt
where it is the account's, with a salt of nobody's otherwise. An account that is unknown, locked,
or stored in a form that can't be read costs the same. So the memory of a hash is bounded by the
settings too, whatever somebody wrote into the database.

Legacy hashes are one set more. Where there are older parameters or legacy hashes, a refusal
therefore costs the sum of all: take them out of the settings when no account has them any more.
"""

import hmac
import secrets
from dataclasses import dataclass
from typing import Protocol

from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw

from workload.passwords.errors import HashingBusy
from workload.passwords.parameters import Argon2Parameters
from workload.passwords.pepper import Peppers
from workload.passwords.phc import SALT_BYTES, Argon2Hash, read_phc, write_phc
from workload.passwords.typed import Typed
from workload.settings import SettingsFault

_RETRY_SECONDS = 1.0
_MAX_OLDER = 4


class LegacyHashes(Protocol):
    """Hashes of an algorithm before Argon2id."""

    def owns(self, stored: str) -> bool:
        """Return whether a stored text is one of these and can be verified."""
        ...

    def matches(self, raw: bytes, stored: str | None) -> bool:
        """Compare; at one cost for all texts and ``None``. What it does not own never matches."""
        ...

    def holds_whole(self, raw: bytes) -> bool:
        """Return whether such a hash is of the whole password and not of its beginning."""
        ...


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a password is the account's: true where it is.

    ``replacement`` is then the hash to store in place of the one that was verified, if that is
    of older parameters, pepper or algorithm. ``trouble`` is for the operator's log: what is
    wrong with what is stored. Neither is for the user.
    """

    ok: bool
    replacement: str | None = None
    trouble: str = ""

    def __bool__(self) -> bool:
        return self.ok


class PasswordHasher:
    """Argon2id with one set of parameters for new hashes, and what else is still accepted."""

    def __init__(
        self,
        parameters: Argon2Parameters,
        older: tuple[Argon2Parameters, ...] = (),
        legacy: LegacyHashes | None = None,
        peppers: Peppers | None = None,
    ) -> None:
        if len(older) > _MAX_OLDER:
            raise SettingsFault(f"older has more than {_MAX_OLDER} sets of parameters")
        self.parameters = parameters
        self._accepted = tuple(dict.fromkeys((parameters, *older)))
        self._legacy = legacy
        self._peppers = peppers
        self._nobodys = {
            each: Argon2Hash(
                each, secrets.token_bytes(SALT_BYTES), secrets.token_bytes(each.digest_bytes)
            )
            for each in self._accepted
        }
        version = None if peppers is None else peppers.current
        self._absent = write_phc(self._nobodys[parameters]._replace(pepper_version=version))

    @property
    def memory_kib(self) -> int:
        """The most that one hash takes."""
        return max(each.memory_kib for each in self._accepted)

    def hash(self, typed: Typed) -> str:
        """Return the text to store, under a salt of its own. Raises ``HashingBusy``."""
        version = None if self._peppers is None else self._peppers.current
        salt = secrets.token_bytes(SALT_BYTES)
        unsaved = Argon2Hash(self.parameters, salt, b"", version)
        return write_phc(unsaved._replace(digest=self._digest(typed, unsaved)))

    def needs_rehash(self, stored: str) -> bool:
        """Return whether a stored hash is other than a new one would be."""
        held = read_phc(stored)
        version = None if self._peppers is None else self._peppers.current
        return (
            held is None
            or held.parameters != self.parameters
            or held.pepper_version != version
            or len(held.salt) < SALT_BYTES
        )

    def verify(self, typed: Typed, stored: str | None) -> Verification:
        """Compare a password with what is stored; ``None`` for an account that there is not.

        Raises ``HashingBusy`` where there is no memory for it.
        """
        held, trouble = self._read(self._absent if stored is None else stored)
        matched = self._matches(typed, held)
        whole = True
        if not matched and self._legacy is not None:
            matched = self._legacy.matches(typed.raw, stored)
            whole = self._legacy.holds_whole(typed.raw)
        if not matched or stored is None:
            return Verification(ok=False, trouble=trouble)
        replace = whole and self.needs_rehash(stored)
        return Verification(ok=True, replacement=self.hash(typed) if replace else None)

    def _matches(self, typed: Typed, held: Argon2Hash | None) -> bool:
        for accepted in self._accepted:
            mine = held is not None and held.parameters == accepted
            compared = held if held is not None and mine else self._nobodys[accepted]
            same = hmac.compare_digest(self._digest(typed, compared), compared.digest)
            if same and mine:
                return True
        return False

    def _read(self, stored: str) -> tuple[Argon2Hash | None, str]:
        """Return the hash if it is one that may be computed, and otherwise what is wrong."""
        held = read_phc(stored)
        if held is None:
            read_phc(self._absent)  # what is read takes some microseconds longer than what is not
            if self._legacy is not None and self._legacy.owns(stored):
                return None, ""
            return None, "a stored hash is no Argon2id hash in PHC form, nor an accepted other"
        if held.parameters not in self._accepted:
            return None, f"a stored hash is of {held.parameters}, which is not in `older`"
        version = held.pepper_version
        if version is not None and (self._peppers is None or version not in self._peppers):
            return None, f"a stored hash needs pepper version {version}, which is not there"
        return held, ""

    def _digest(self, typed: Typed, held: Argon2Hash) -> bytes:
        secret, cost = typed.normalised, held.parameters
        if self._peppers is not None and held.pepper_version is not None:
            secret = self._peppers.apply(held.pepper_version, secret)
        try:
            return hash_secret_raw(
                secret,
                held.salt,
                time_cost=cost.time_cost,
                memory_cost=cost.memory_kib,
                parallelism=cost.lanes,
                hash_len=cost.digest_bytes,
                type=Type.ID,
            )
        except HashingError as exc:  # no memory or no thread: nothing about the password
            raise HashingBusy(f"Argon2id fails ({exc})", _RETRY_SECONDS) from None
