"""The keyring for threads: the same keys, without an event loop of the caller's."""

import asyncio
import os
import threading

import pytest

from tests.workload.encryption.keys_in_hand import EMAIL, FieldProcess
from workload.encryption import BlockingKeyring, KeyScope
from workload.encryption.errors import FieldInputFault, FieldKeysAway

pytestmark = pytest.mark.real
SCOPE = KeyScope("acme", "contact")


def test_threads_seal_and_open(process: FieldProcess) -> None:
    opened: list[bytes] = []
    with BlockingKeyring(process.keyring) as keyring:

        def work(number: int) -> None:
            sealed = keyring.seal(SCOPE, b"value", EMAIL, number)
            opened.append(keyring.open(SCOPE, sealed, EMAIL, number))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert opened == [b"value"] * 8
    assert process.wrapper.unwrapped == 1


def test_a_fault_comes_to_the_caller(process: FieldProcess) -> None:
    process.wrapper.is_away()
    with BlockingKeyring(process.keyring) as keyring, pytest.raises(FieldKeysAway):
        keyring.load(SCOPE)


def test_nobody_waits_longer_than_the_time_out(
    process: FieldProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(scope: KeyScope) -> None:
        assert scope == SCOPE
        await asyncio.Event().wait()

    monkeypatch.setattr(process.keyring, "load", never)
    keyring = BlockingKeyring(process.keyring, timeout_seconds=0.01)
    with pytest.raises(FieldKeysAway, match=r"within 0\.01 s"):
        keyring.load(SCOPE)
    keyring._thread._timeout_seconds = 10
    keyring.close()


def test_a_closed_keyring_has_no_keys(process: FieldProcess) -> None:
    keyring = BlockingKeyring(process.keyring)
    keys = keyring.load(SCOPE)
    keyring.close()
    keyring.close()
    with pytest.raises(FieldKeysAway):
        keys.seal(b"x", EMAIL, 1)
    with pytest.raises(FieldKeysAway, match="closed"):
        keyring.load(SCOPE)


def test_after_a_fork_it_says_what_to_do(process: FieldProcess) -> None:
    with BlockingKeyring(process.keyring) as keyring:
        keyring._thread._process = os.getppid()  # as if this were the child
        with pytest.raises(FieldInputFault, match="after the fork"):
            keyring.load(SCOPE)
        keyring._thread._process = os.getpid()
