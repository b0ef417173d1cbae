"""The table of proofs: nothing that still counts is forgotten, whoever asks."""

import fcntl
import mmap
import os
import subprocess
import sys
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.tokens.replays import (
    WAYS,
    ProofUse,
    ReplayTable,
    record_lock,
    table_bytes,
)

NOW = 1_750_000_000.0
NEW, REPLAYED, FULL = ProofUse.NEW, ProofUse.REPLAYED, ProofUse.FULL


def digest(number: int) -> bytes:
    return sha256(str(number).encode()).digest()


def table(entries: int = WAYS) -> ReplayTable:
    return ReplayTable(mmap.mmap(-1, table_bytes(entries)))


def test_a_proof_passes_once_until_it_would_be_refused_by_its_age() -> None:
    seen = table()
    assert seen.remember(digest(1), NOW + 65, NOW) is NEW
    assert seen.remember(digest(1), NOW + 65, NOW) is REPLAYED
    assert seen.remember(digest(1), NOW + 65, NOW + 64.9) is REPLAYED
    assert seen.remember(digest(2), NOW + 65, NOW) is NEW
    assert seen.remember(digest(1), NOW + 200, NOW + 66) is NEW


def test_part_of_a_second_counts_as_all_of_it() -> None:
    seen = table()
    assert seen.remember(digest(1), NOW + 0.2, NOW) is NEW
    assert seen.remember(digest(1), NOW + 0.2, NOW + 0.1) is REPLAYED


def test_where_there_is_no_room_a_new_proof_is_refused_and_the_old_ones_stay() -> None:
    seen = table()
    assert [seen.remember(digest(n), NOW + 60, NOW) for n in range(WAYS)] == [NEW] * WAYS
    assert seen.remember(digest(WAYS), NOW + 60, NOW) is FULL
    assert seen.refused == 1
    assert [seen.remember(digest(n), NOW + 60, NOW) for n in range(WAYS)] == [REPLAYED] * WAYS
    assert seen.remember(digest(WAYS), NOW + 120, NOW + 61) is NEW


def test_a_proof_that_ends_past_the_last_second_of_the_table_is_remembered() -> None:
    seen = table()
    assert seen.remember(digest(1), 2.0**40, NOW) is NEW
    assert seen.remember(digest(1), 2.0**40, NOW) is REPLAYED


def test_half_full_a_table_of_many_sets_has_room_for_all() -> None:
    seen = table(16_384)
    assert {seen.remember(digest(n), NOW + 60, NOW) for n in range(8192)} == {NEW}
    assert {seen.remember(digest(n), NOW + 60, NOW) for n in range(8192)} == {REPLAYED}


def test_a_match_across_two_digests_is_none() -> None:
    seen = table()
    one, two = b"\0" * 16 + b"ab" * 8, b"\0" * 16 + b"ba" * 8
    assert seen.remember(one, NOW + 60, NOW) is NEW
    assert seen.remember(one[:16] + b"xx" * 8, NOW + 60, NOW) is NEW
    assert seen.remember(two, NOW + 60, NOW) is NEW


def test_a_memory_without_room_for_a_set_is_none() -> None:
    with pytest.raises(ValueError, match="no room"):
        ReplayTable(mmap.mmap(-1, 100))


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(1, 30), st.integers(0, 5))))
def test_it_agrees_with_a_dictionary(steps: list[tuple[int, int, int]]) -> None:
    """Each step: a proof, for how long it holds, and how far the clock moves before."""
    seen, known, now = table(), dict[int, float](), NOW
    for number, seconds, passed in steps:
        now += passed
        held = {each: until for each, until in known.items() if until > now}
        result = seen.remember(digest(number), now + seconds, now)
        if number in held:
            assert result is REPLAYED
        elif len(held) == WAYS:
            assert result is FULL
        else:
            assert result is NEW
            known[number] = now + seconds


HOLD = "import fcntl, sys; fcntl.lockf({}, fcntl.LOCK_EX, 1, 0); print('held', flush=True); input()"


def test_a_set_that_another_process_holds_is_waited_for_a_moment_and_then_refused() -> None:
    descriptor = os.memfd_create("proofs", 0)
    os.ftruncate(descriptor, table_bytes(WAYS))
    seen = ReplayTable(mmap.mmap(-1, table_bytes(WAYS)), record_lock(descriptor))
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(descriptor)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[descriptor], text=True,
    )  # fmt: skip
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert seen.remember(digest(1), NOW + 60, NOW) is FULL
        other.kill()  # in the middle: the kernel releases what it held
        other.wait()
    assert seen.remember(digest(1), NOW + 60, NOW) is NEW
    assert seen.refused == 1
    fcntl.lockf(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def test_the_lock_is_released_after_each_look() -> None:
    taken: list[tuple[int, bool]] = []

    def lock(number: int, hold: bool) -> bool:
        taken.append((number, hold))
        return True

    seen = ReplayTable(mmap.mmap(-1, table_bytes(WAYS * 4)), lock)
    seen.remember(digest(1), NOW + 60, NOW)
    seen.remember(digest(1), NOW + 60, NOW)
    ((first, _), *_) = taken
    assert taken == [(first, True), (first, False)] * 2
