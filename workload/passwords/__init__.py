"""Passwords of an application's accounts (SECURITY-MODEL §4): Argon2id, at a bounded cost.

``Passwords`` hashes and verifies. It needs the extra ``passwords``; ``BcryptHashes``, which is in
``workload.passwords.bcrypt_hashes``, the extra ``bcrypt``. See ``docs/passwords.md``.
"""

from workload.passwords.breached import BreachedPasswords
from workload.passwords.errors import (
    BreachedListFault,
    HashingBusy,
    PasswordRefused,
    RefusedBecause,
)
from workload.passwords.hasher import Verification
from workload.passwords.parameters import Argon2Parameters
from workload.passwords.pepper import Peppers, read_peppers
from workload.passwords.pool import HashingPool, PoolLoad
from workload.passwords.service import PasswordPolicy, Passwords

__all__ = [
    "Argon2Parameters",
    "BreachedListFault",
    "BreachedPasswords",
    "HashingBusy",
    "HashingPool",
    "PasswordPolicy",
    "PasswordRefused",
    "Passwords",
    "Peppers",
    "PoolLoad",
    "RefusedBecause",
    "Verification",
    "read_peppers",
]
