"""Passwords as an application uses them: policy, list, pepper and pool together."""

import hashlib
import logging
from pathlib import Path

import bcrypt
import pytest

from workload.passwords import (
    Argon2Parameters,
    BreachedListFault,
    BreachedPasswords,
    HashingBusy,
    HashingPool,
    PasswordPolicy,
    PasswordRefused,
    Passwords,
    Peppers,
    RefusedBecause,
    Verification,
)
from workload.passwords.bcrypt_hashes import BcryptHashes
from workload.settings import SettingsFault

LEAST = PasswordPolicy(Argon2Parameters(time_cost=1, memory_kib=35_840, lanes=1))
"""The cheapest that is accepted."""
NEWER = PasswordPolicy(
    Argon2Parameters(time_cost=1, memory_kib=36_000, lanes=1), older=(LEAST.parameters,)
)
GOOD = "correct horse battery staple"


@pytest.fixture(scope="module")
def stored() -> str:
    return Passwords(LEAST).hash_sync(GOOD)


def test_the_model_s_parameters_unless_others_are_named() -> None:
    passwords = Passwords()
    text = passwords.hash_sync(GOOD)
    assert text.startswith("$argon2id$v=19$m=65536,t=1,p=4$")
    assert passwords.verify_sync(GOOD, text) == Verification(ok=True)
    assert passwords.memory_bytes == 2 * 64 * 1024 * 1024


async def test_coroutines_and_threads_do_the_same(stored: str) -> None:
    passwords = Passwords(LEAST)
    for text in (await passwords.hash(GOOD), passwords.hash_sync(GOOD), stored):
        assert await passwords.verify(GOOD, text)
        assert passwords.verify_sync(GOOD, text)
        assert not await passwords.verify("wrong", text)
        assert not passwords.verify_sync("wrong", text)
        assert not passwords.needs_rehash(text)
    assert not await passwords.verify(GOOD, None)
    assert not passwords.verify_sync(GOOD, None)


async def test_a_new_password_keeps_the_policy_and_an_old_one_need_not() -> None:
    passwords = Passwords(LEAST)
    for password, reason in (
        ("fourteen chars", RefusedBecause.TOO_SHORT),
        ("x" * 1025, RefusedBecause.TOO_LONG),
        ("tab\tand some more", RefusedBecause.CHARACTERS),
    ):
        with pytest.raises(PasswordRefused) as refused:
            await passwords.hash(password)
        with pytest.raises(PasswordRefused):
            passwords.hash_sync(password)
        assert refused.value.reason is reason
        assert password not in str(refused.value)
    assert passwords.load() == (0, 0, 0)
    before = bcrypt.hashpw(b"short", bcrypt.gensalt(4)).decode()
    older = PasswordPolicy(LEAST.parameters, legacy=BcryptHashes(4))
    assert (await Passwords(older).verify("short", before)).replacement is not None


async def test_what_nobody_can_have_costs_nothing_whatever_is_stored(stored: str) -> None:
    full = Passwords(LEAST, pool=HashingPool(slots=1, max_waiting=0, wait_seconds=0.001))

    def while_it_is_full() -> list[Verification]:
        odd = ("x" * 1025, "", "a\x00", "a\ud800")
        return [full.verify_sync(each, known) for each in odd for known in (stored, None, "!")]

    assert set(await full._pool.run(while_it_is_full)) == {Verification(ok=False)}


async def test_a_breached_password_is_refused_and_an_old_one_still_verifies(
    stored: str, tmp_path: Path
) -> None:
    digest = hashlib.sha1(GOOD.encode(), usedforsecurity=False).hexdigest()
    path = tmp_path / "pwned"
    path.write_text(f"{digest}:7\n")
    passwords = Passwords(LEAST, breached=BreachedPasswords(path))
    with pytest.raises(PasswordRefused) as why:
        await passwords.hash(GOOD)
    assert why.value.reason is RefusedBecause.BREACHED
    assert await passwords.verify(GOOD, stored)
    assert await passwords.hash(f"{GOOD} and more")
    path.write_text("nothing of the kind\n")
    with pytest.raises(BreachedListFault):
        await passwords.hash(f"{GOOD} and more")


async def test_a_pepper_is_rotated_while_it_runs(stored: str) -> None:
    passwords = Passwords(LEAST, peppers=Peppers({1: b"1" * 32}, 1))
    first = (await passwords.verify(GOOD, stored)).replacement
    assert first is not None
    assert ",keyid=MQ$" in first
    passwords.use_peppers(Peppers({1: b"1" * 32, 2: b"2" * 32}, 2))
    second = (await passwords.verify(GOOD, first)).replacement
    assert second is not None
    assert ",keyid=Mg$" in second
    assert await passwords.verify(GOOD, second) == Verification(ok=True)


async def test_what_is_wrong_with_what_is_stored_is_logged_without_it(
    stored: str, caplog: pytest.LogCaptureFixture
) -> None:
    passwords = Passwords(LEAST)
    with caplog.at_level(logging.WARNING, "workload.passwords"):
        assert not await passwords.verify(GOOD, stored.replace("m=35840", "m=1000000"))
        assert not passwords.verify_sync(GOOD, "plain text of a password")
        assert not await passwords.verify("wrong", stored)
        assert not await passwords.verify("wrong", None)
    assert len(caplog.records) == 2
    assert "not in `older`" in caplog.text
    assert "plain text of" not in caplog.text
    assert stored[-20:] not in caplog.text


async def test_the_pool_s_bounds_hold_for_every_call(stored: str) -> None:
    passwords = Passwords(LEAST, pool=HashingPool(slots=1, max_waiting=0))

    def while_it_is_full() -> None:
        for call in (
            lambda: passwords.hash_sync(GOOD),
            lambda: passwords.verify_sync(GOOD, stored),
            lambda: passwords.verify_sync(GOOD, None),
        ):
            with pytest.raises(HashingBusy):
                call()

    await passwords._pool.run(while_it_is_full)


def test_a_policy_is_no_weaker_than_the_standards() -> None:
    with pytest.raises(SettingsFault, match="OWASP"):
        PasswordPolicy(Argon2Parameters(time_cost=1, memory_kib=35_839, lanes=1))
    with pytest.raises(SettingsFault, match="min_characters"):
        PasswordPolicy(min_characters=7)
