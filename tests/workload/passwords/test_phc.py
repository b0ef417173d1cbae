"""What is stored has one spelling, and no more cost than a setting may have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workload.passwords.parameters import Argon2Parameters
from workload.passwords.phc import Argon2Hash, read_phc, write_phc

SALT, DIGEST = "c29tZXNhbHRzb21lc2FsdA", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
GOOD = f"$argon2id$v=19$m=65536,t=1,p=4${SALT}${DIGEST}"


def test_a_hash_is_read() -> None:
    held = read_phc(GOOD)
    assert held is not None
    assert held.parameters == Argon2Parameters(1, 65_536, 4, 32)
    assert (held.salt, len(held.digest), held.pepper_version) == (b"somesaltsomesalt", 32, None)
    assert write_phc(held) == GOOD
    assert SALT not in repr(held)
    assert "somesalt" not in repr(held)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("empty", ""),
        ("locked account", "!"),
        ("Argon2i", GOOD.replace("argon2id", "argon2i")),
        ("Argon2d", GOOD.replace("argon2id", "argon2d")),
        ("an older version", GOOD.replace("v=19", "v=16")),
        ("no version", GOOD.replace("v=19$", "")),
        ("another order", GOOD.replace("m=65536,t=1", "t=1,m=65536")),
        ("a parameter twice", GOOD.replace("t=1", "t=1,t=1")),
        ("an unknown parameter", GOOD.replace("p=4", "p=4,x=1")),
        ("data", GOOD.replace("p=4", "p=4,data=QQ")),
        ("a leading zero", GOOD.replace("t=1", "t=01")),
        ("a sign", GOOD.replace("t=1", "t=+1")),
        ("other digits", GOOD.replace("t=1", "t=\u0661")),
        ("no passes", GOOD.replace("t=1", "t=0")),
        ("memory for a day", GOOD.replace("m=65536", "m=4294967295")),
        ("2 GiB", GOOD.replace("m=65536", "m=2097152")),
        ("passes for a day", GOOD.replace("t=1", "t=4294967295")),
        ("a thousand lanes", GOOD.replace("p=4", "p=1000")),
        ("less memory than lanes need", GOOD.replace("m=65536", "m=8")),
        ("a short salt", GOOD.replace(SALT, "QUFBQUFBQQ")),
        ("no salt", GOOD.replace(SALT, "")),
        ("a digest that is guessed in a day", GOOD.replace(DIGEST, "QUFBQQ")),
        ("no digest", GOOD.removesuffix(DIGEST)),
        ("a digest that is too long", GOOD + "A" * 60),
        ("padding", GOOD + "="),
        ("base64url", GOOD.replace("5c8y", "5c_y")),
        ("bits that mean nothing", GOOD[:-1] + "d"),
        ("a line feed", GOOD + "\n"),
        ("a space before", " " + GOOD),
        ("NUL", GOOD + "\x00"),
        ("two hashes", GOOD + GOOD),
        ("a long text", GOOD + "$" * 100_000),
        ("a key that is no number", GOOD.replace("p=4", "p=4,keyid=QUE")),
        ("a key that is zero", GOOD.replace("p=4", "p=4,keyid=MA")),
        ("bcrypt", "$2b$12$......................ABCDEFGHIJKLMNOPQRSTUVWXYZabcde"),
    ],
)
def test_what_is_anything_else_is_none(what: str, text: str) -> None:
    assert text != GOOD, what
    assert read_phc(text) is None, what


COSTS = st.builds(
    Argon2Parameters, st.integers(1, 64), st.integers(128, 1_048_576), st.integers(1, 16)
)


@given(COSTS, st.binary(min_size=8, max_size=64), st.none() | st.integers(1, 99_999_999))
def test_what_is_written_is_read_again(
    cost: Argon2Parameters, salt: bytes, version: int | None
) -> None:
    held = Argon2Hash(cost, salt, (salt * 4)[:32], version)
    assert read_phc(write_phc(held)) == held


@given(st.text(alphabet="$argon2idv=19m,tp465536keyABCD+/\n\u0661", max_size=200))
def test_no_text_raises(text: str) -> None:
    held = read_phc(text)
    assert held is None or write_phc(held) == text
