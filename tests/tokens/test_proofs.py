"""What processes remember of proofs together: one table, and one secret of nonces."""

import mmap
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from sidecar.tokens.proofs import guard_in, own_guard, prepare
from sidecar.tokens.replays import ProofUse, table_bytes

NOW = 1_750_000_000.0
BYTES = table_bytes(4096)
RACE = """
import mmap, sys
from hashlib import sha256
from sidecar.tokens.proofs import guard_in
from sidecar.tokens.replays import ProofUse, record_lock, table_bytes
fd = int(sys.argv[1])
guard = guard_in(mmap.mmap(fd, table_bytes(4096)), record_lock(fd))
print("ready", flush=True)
input()
new = [n for n in range(2000)
       if guard.replays.remember(sha256(str(n).encode()).digest(), 1e9 + 60, 1e9) is ProofUse.NEW]
print(*new)
"""


def test_two_guards_in_one_memory_have_the_same_nonces_and_proofs() -> None:
    memory = mmap.mmap(-1, BYTES)
    prepare(memory)
    one, other = guard_in(memory), guard_in(memory)
    assert one.nonces.is_ours(other.nonces.current(60, NOW), 60, NOW)
    proof = sha256(b"one").digest()
    assert one.replays.remember(proof, NOW + 60, NOW) is ProofUse.NEW
    assert other.replays.remember(proof, NOW + 60, NOW) is ProofUse.REPLAYED


def test_each_guard_of_its_own_has_another_secret() -> None:
    nonce = own_guard(64).nonces.current(60, NOW)
    assert not own_guard(64).nonces.is_ours(nonce, 60, NOW)


def test_of_processes_that_race_for_the_same_proofs_one_gets_each() -> None:
    descriptor = os.memfd_create("proofs", 0)
    os.ftruncate(descriptor, BYTES)
    command = [sys.executable, "-c", RACE, str(descriptor)]
    racers = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[descriptor],
            text=True, cwd=Path(__file__).parents[2],
        )
        for _ in range(3)
    ]  # fmt: skip
    for each in racers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in racers:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    won = [int(number) for each in racers for number in each.communicate()[0].split()]
    os.close(descriptor)
    assert sorted(won) == list(range(2000))
