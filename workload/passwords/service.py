"""Passwords of an application's accounts (SECURITY-MODEL §4): one object for the process."""

import logging
from dataclasses import dataclass
from functools import partial

from workload.passwords.breached import BreachedPasswords
from workload.passwords.errors import PasswordRefused, RefusedBecause
from workload.passwords.hasher import LegacyHashes, PasswordHasher, Verification
from workload.passwords.parameters import MODEL_PARAMETERS, Argon2Parameters
from workload.passwords.pepper import Peppers
from workload.passwords.pool import HashingPool, PoolLoad
from workload.passwords.typed import MIN_CHARACTERS, Typed, check_least, read_new, read_typed
from workload.settings import SettingsFault

_log = logging.getLogger("workload.passwords")
_NO = Verification(ok=False)


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """What new hashes are made with, and what else is accepted until the next login."""

    parameters: Argon2Parameters = MODEL_PARAMETERS
    older: tuple[Argon2Parameters, ...] = ()
    """Parameters of hashes that are stored already."""
    legacy: LegacyHashes | None = None
    """``BcryptHashes()`` of ``workload.passwords.bcrypt_hashes``."""
    min_characters: int = MIN_CHARACTERS
    """Of a new password: 15, or 8 and more where there is a second factor (NIST SP 800-63B-4)."""

    def __post_init__(self) -> None:
        check_least(self.min_characters)
        if self.parameters.is_weak():
            raise SettingsFault("parameters are weaker than the least of OWASP's: m * t >= 35840")


class Passwords:
    """Hashes new passwords and verifies those of a login, for coroutines and for threads.

    Make one and keep it: its pool bounds memory and processors for all of the process. Of
    threads and event loops any may use it.
    """

    def __init__(
        self,
        policy: PasswordPolicy | None = None,
        *,
        peppers: Peppers | None = None,
        breached: BreachedPasswords | None = None,
        pool: HashingPool | None = None,
    ) -> None:
        self._policy = policy or PasswordPolicy()
        self._breached = breached
        self._pool = pool or HashingPool()
        self._hasher = self._hasher_with(peppers)

    def use_peppers(self, peppers: Peppers) -> None:
        """Use these from the next password on: after a rotation."""
        self._hasher = self._hasher_with(peppers)

    async def hash(self, password: str) -> str:
        """Return a new password's hash, to be stored. Raises ``PasswordRefused``, ``Fault``."""
        typed = read_new(password, self._policy.min_characters)
        return await self._pool.run(partial(self._hash, typed))

    def hash_sync(self, password: str) -> str:
        """Do the same in a thread."""
        typed = read_new(password, self._policy.min_characters)
        return self._pool.run_sync(partial(self._hash, typed))

    async def verify(self, password: str, stored: str | None) -> Verification:
        """Return whether a password is that of the stored hash; ``None`` for no such account.

        Every refusal of one password takes equally long, whatever is stored. Answer all of
        them with one message. Raises ``HashingBusy``.
        """
        typed = read_typed(password)
        if isinstance(typed, RefusedBecause):
            return _NO
        return _noted(await self._pool.run(partial(self._hasher.verify, typed, stored)))

    def verify_sync(self, password: str, stored: str | None) -> Verification:
        """Do the same in a thread."""
        typed = read_typed(password)
        if isinstance(typed, RefusedBecause):
            return _NO
        return _noted(self._pool.run_sync(partial(self._hasher.verify, typed, stored)))

    def needs_rehash(self, stored: str) -> bool:
        """Return whether a stored hash is other than a new one would be."""
        return self._hasher.needs_rehash(stored)

    def load(self) -> PoolLoad:
        """Return what the pool is doing, for metrics."""
        return self._pool.load()

    @property
    def memory_bytes(self) -> int:
        """The most that hashes of this process take at any moment."""
        return self._pool.slots * self._hasher.memory_kib * 1024

    def _hash(self, typed: Typed) -> str:
        if self._breached is not None and self._breached.has(typed):
            raise PasswordRefused(RefusedBecause.BREACHED)
        return self._hasher.hash(typed)

    def _hasher_with(self, peppers: Peppers | None) -> PasswordHasher:
        policy = self._policy
        return PasswordHasher(policy.parameters, policy.older, policy.legacy, peppers)


def _noted(verification: Verification) -> Verification:
    if verification.trouble:
        _log.warning("a login is denied for what is stored: %s", verification.trouble)
    return verification
