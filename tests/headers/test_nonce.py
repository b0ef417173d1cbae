"""Nonces: fixed length, never twice, not even in a child process."""

import base64
import multiprocessing
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest

from sidecar.headers.nonce import BATCH, NONCE_BYTES, NONCE_CHARACTERS, NoncePool


def test_a_nonce_is_144_bits_in_24_characters() -> None:
    nonce = NoncePool().take()
    assert len(nonce) == NONCE_CHARACTERS
    assert len(base64.urlsafe_b64decode(nonce)) == NONCE_BYTES >= 16
    assert set(nonce) <= set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_every_byte_is_the_systems_and_is_used_once() -> None:
    drawn: list[bytes] = []

    def entropy(count: int) -> bytes:
        drawn.append(bytes((len(drawn) * 7 + at * 31 + at // 256) % 256 for at in range(count)))
        return drawn[-1]

    pool = NoncePool(entropy)
    taken = {base64.urlsafe_b64decode(pool.take()) for _ in range(2 * BATCH)}
    batches = [
        batch[start : start + NONCE_BYTES]
        for batch in drawn
        for start in range(0, len(batch), NONCE_BYTES)
    ]
    assert len(drawn) == 2
    assert taken == set(batches)


def test_none_comes_twice() -> None:
    pool = NoncePool()
    assert len({pool.take() for _ in range(50 * BATCH)}) == 50 * BATCH


def test_none_comes_twice_between_threads() -> None:
    pool = NoncePool()
    taken: list[list[bytes]] = [[] for _ in range(4)]

    def take(into: list[bytes]) -> None:
        into.extend(pool.take() for _ in range(10 * BATCH))

    threads = [threading.Thread(target=take, args=(each,)) for each in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({nonce for each in taken for nonce in each}) == 40 * BATCH


@pytest.fixture
def forked() -> Iterator[tuple[NoncePool, set[bytes]]]:
    """A pool that was filled before a fork, and what the child took from it."""
    pool = NoncePool()
    pool.take()
    ours, theirs = multiprocessing.Pipe()

    def child(pipe: Connection) -> None:
        pipe.send({pool.take() for _ in range(BATCH)})

    process = multiprocessing.get_context("fork").Process(target=child, args=(theirs,))
    process.start()
    yield pool, ours.recv()
    process.join(10)


def test_a_child_process_takes_none_of_its_parents(
    forked: tuple[NoncePool, set[bytes]],
) -> None:
    pool, childs = forked
    assert not childs & {pool.take() for _ in range(BATCH)}
