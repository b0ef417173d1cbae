"""What a process that answers Checks keeps for DPoP proofs: which were seen, and its nonces.

Both lie in one memory (``replays``): of this process alone, or shared by all workers.
"""

import mmap
import secrets
from typing import NamedTuple

from sidecar.tokens.dpop_nonces import SECRET_BYTES, Nonces
from sidecar.tokens.replays import Buffer, Lock, ReplayTable, no_lock, table_bytes

DEFAULT_ENTRIES = 65_536


class ProofGuard(NamedTuple):
    """The table of the proofs that were seen, and the nonces."""

    replays: ReplayTable
    nonces: Nonces


def guard_in(memory: Buffer, lock: Lock = no_lock) -> ProofGuard:
    """Return the guard that lies in a memory which ``prepare`` was called with."""
    return ProofGuard(ReplayTable(memory, lock), Nonces(bytes(memory[:SECRET_BYTES])))


def prepare(memory: Buffer) -> None:
    """Write a new secret of nonces into a memory of zeros, before anybody else has it."""
    memory[:SECRET_BYTES] = secrets.token_bytes(SECRET_BYTES)


def own_guard(entries: int = DEFAULT_ENTRIES) -> ProofGuard:
    """Return a guard of this process alone; the system gives it memory as it fills."""
    memory = mmap.mmap(-1, table_bytes(entries))
    prepare(memory)
    return guard_in(memory)
