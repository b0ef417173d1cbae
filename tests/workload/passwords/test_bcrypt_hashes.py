"""bcrypt's hashes of other systems, and what each call of it costs."""

import bcrypt
import pytest

from workload.passwords.bcrypt_hashes import BcryptHashes
from workload.settings import SettingsFault

LEAST = BcryptHashes(4)
KNOWN = [
    # John the Ripper's, as other implementations carry them too.
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    ("U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
    ("U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
]


def made(password: bytes, cost: int = 4) -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()


@pytest.mark.parametrize(("password", "stored"), KNOWN)
def test_known_answers(password: str, stored: str) -> None:
    five = BcryptHashes(5)
    for prefix in ("$2a$", "$2b$", "$2y$"):
        text = prefix + stored[4:]
        assert five.owns(text)
        assert five.matches(password.encode(), text)
        assert not five.matches(password.encode() + b"x", text)
        assert not five.matches(password.encode(), text[:-1] + ("." if text[-1] != "." else "/"))


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("the broken implementation's", lambda text: "$2x$" + text[4:]),
        ("the first version's", lambda text: "$2$" + text[4:]),
        ("a cost that is not named", lambda text: text.replace("$04$", "$05$")),
        ("a cost of days", lambda text: text.replace("$04$", "$31$")),
        ("a cost that is none", lambda text: text.replace("$04$", "$03$")),
        ("one digit", lambda text: text.replace("$04$", "$4$")),
        ("cut short", lambda text: text[:-1]),
        ("too long", lambda text: text + "."),
        ("a line feed", lambda text: text + "\n"),
        ("another alphabet", lambda text: text[:-1] + "+"),
        ("other digits", lambda text: text.replace("$04$", "$0\u0664$")),
    ],
)
def test_what_is_not_read(what: str, change: "object") -> None:
    assert callable(change)
    text = change(made(b"password"))
    assert not LEAST.owns(text), what
    assert not LEAST.matches(b"password", text), what


def test_nothing_matches_nobody() -> None:
    assert not LEAST.matches(b"password", None)


def test_the_hash_of_nobody_matches_nobody_even_if_it_is_that_of_the_password() -> None:
    hashes = BcryptHashes(4, 5)
    hashes._absent = made(b"password")
    assert not hashes.matches(b"password", None)
    assert not hashes.matches(b"password", "!")
    of_five = bcrypt.hashpw(b"password", b"$2b$05$" + b"." * 22).decode()
    assert hashes.matches(b"password", of_five)
    assert not hashes.matches(b"password", of_five.replace("$05$", "$04$"))


def test_a_long_password_is_compared_by_its_first_72_bytes_and_is_not_held_whole() -> None:
    kept = made(b"a" * 72)
    for length, holds in ((72, True), (73, False), (1024, False)):
        assert LEAST.matches(b"a" * length, kept)
        assert LEAST.holds_whole(b"a" * length) is holds
    assert not LEAST.matches(b"a" * 71, kept)


def test_what_follows_a_nul_is_never_taken_for_checked() -> None:
    for kept in (made(b"pass"), made(b""), made(b"pass\x00word"), made(b"\x00")):
        for typed in (b"pass\x00word", b"pass\x00", b"\x00", b"\x00word"):
            assert not LEAST.matches(typed, kept)


def test_a_salt_with_bits_that_mean_nothing_is_read() -> None:
    kept = made(b"password")
    position = len("$2b$04$") + 21
    alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    odd = alphabet[alphabet.index(kept[position]) | 0b1111]
    text = kept[:position] + odd + kept[position + 1 :]
    assert text != kept
    assert LEAST.matches(b"password", text)
    assert not LEAST.matches(b"passwore", text)


def test_each_call_computes_one_hash_of_each_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[int] = []
    real = bcrypt.hashpw

    def counted(password: bytes, salt: bytes) -> bytes:
        costs.append(int(salt[4:6]))
        assert len(password) <= 72, "bcrypt 5 raises"
        assert b"\x00" not in password, "others end there"
        return real(password, salt)

    stored = {cost: made(b"password", cost) for cost in (4, 5, 6)}
    broken = stored[4].replace("$04$", "$09$")
    monkeypatch.setattr(bcrypt, "hashpw", counted)
    two = BcryptHashes(6, 4)
    for typed in (b"password", b"wrong", b"\x00", b"long" * 100):
        for each in (*stored.values(), None, "!", broken):
            costs.clear()
            good = each in {stored[4], stored[6]} and typed == b"password"
            assert two.matches(typed, each) is good, (typed, each)
            assert costs == [4, 6], (typed, each)


@pytest.mark.parametrize("costs", [(3,), (17,), (True,), ("12",), (), (4, 4), (4, 5, 6, 7, 8)])
def test_costs_have_bounds(costs: tuple[int, ...]) -> None:
    with pytest.raises(SettingsFault, match="bcrypt"):
        BcryptHashes(*costs)
