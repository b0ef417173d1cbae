"""RFC 8265 §4.3's examples of OpaqueString, lengths, and that a refusal holds no password."""

import pytest

from workload.passwords.errors import PasswordRefused, RefusedBecause
from workload.passwords.typed import MAX_BYTES, Typed, check_least, read_new, read_typed
from workload.settings import SettingsFault


@pytest.mark.parametrize(
    ("what", "password", "hashed"),
    [
        ("example 12", "correct horse battery staple", "correct horse battery staple"),
        ("example 13", "Correct Horse Battery Staple", "Correct Horse Battery Staple"),
        ("example 14", "\u03c0\u00df\u00e5", "\u03c0\u00df\u00e5"),
        ("example 15", "Jack of \u2666s", "Jack of \u2666s"),
        ("example 16", "foo\u1680bar", "foo bar"),
        ("decomposed", "cafe\u0301", "caf\u00e9"),
        ("a no-break space", "a\u00a0b", "a b"),
        ("spaces at the ends stay", " a ", " a "),
        ("a ligature stays", "\ufb01", "\ufb01"),
        ("full width stays", "\uff21", "\uff21"),
        ("an emoji", "\U0001f600", "\U0001f600"),
    ],
)
def test_what_is_hashed(what: str, password: str, hashed: str) -> None:
    typed = read_typed(password)
    assert isinstance(typed, Typed), what
    assert typed.normalised == hashed.encode(), what
    assert typed.raw == password.encode(), what
    assert typed.characters == len(hashed), what


@pytest.mark.parametrize(
    ("what", "password"),
    [
        ("example 17, empty", ""),
        ("example 18, a tab", "my cat is a \tby"),
        ("NUL", "password\x00"),
        ("a line feed", "password\n"),
        ("a surrogate", "password\ud800"),
        ("an unassigned character", "password\u0378"),
        ("a zero-width space", "pass\u200bword"),
        ("a soft hyphen", "pass\u00adword"),
        ("a private character", "pass\ue000word"),
        ("no text", None),
        ("a number", 12345678),
        ("bytes", b"password"),
        ("a list", ["password"]),
    ],
)
def test_what_is_no_password(what: str, password: object) -> None:
    assert read_typed(password) is RefusedBecause.CHARACTERS, what
    with pytest.raises(PasswordRefused) as refused:
        read_new(password, 8)
    assert "pass" not in str(refused.value).replace("the password is", "")
    assert (refused.value.__cause__, refused.value.__context__) == (None, None), what


@pytest.mark.parametrize(
    ("what", "password", "fits"),
    [
        ("ASCII", "a" * MAX_BYTES, True),
        ("one more", "a" * (MAX_BYTES + 1), False),
        ("four bytes each", "\U0001f600" * (MAX_BYTES // 4), True),
        ("one more of them", "\U0001f600" * (MAX_BYTES // 4) + "a", False),
        ("longer in NFC", "\u0958" * 340, False),
        ("longer as it is typed", "e\u0301" * 342, False),
        ("many surrogates", "\ud800" * 2000, False),
        ("ten megabytes", "a" * 10_000_000, False),
        ("ten megabytes that sort slowly", "a" + "\u0316\u0301" * 5_000_000, False),
    ],
)
def test_a_length_is_a_length_in_bytes_before_and_after(
    what: str, password: str, fits: bool
) -> None:
    typed = read_typed(password)
    assert isinstance(typed, Typed) is fits, what
    assert fits or typed is RefusedBecause.TOO_LONG, what


@pytest.mark.parametrize(
    ("password", "is_short"),
    [("a" * 14, True), ("a" * 15, False), ("e\u0301" * 14, True), ("\U0001f600" * 15, False)],
)
def test_a_new_one_is_counted_in_characters_as_they_are_hashed(
    password: str, is_short: bool
) -> None:
    if not is_short:
        assert read_new(password, 15).characters == 15
        return
    with pytest.raises(PasswordRefused) as refused:
        read_new(password, 15)
    assert refused.value.reason is RefusedBecause.TOO_SHORT


def test_a_policy_is_no_weaker_than_the_standard() -> None:
    for good in (8, 15, 64):
        check_least(good)
    for bad in (0, 7, 65):
        with pytest.raises(SettingsFault, match="min_characters"):
            check_least(bad)


def test_what_was_typed_is_not_shown() -> None:
    assert "hunter2" not in f"{read_typed('hunter2')!r} {read_typed('hunter2')}"
