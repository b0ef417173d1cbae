"""A local copy of Pwned Passwords, in both its forms; a copy that is not whole is a fault."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workload.passwords.breached import BreachedPasswords
from workload.passwords.errors import BreachedListFault
from workload.passwords.typed import Typed, read_typed
from workload.settings import SettingsFault

KNOWN = [f"password-{number}" for number in range(1000)]


def typed(password: str) -> Typed:
    read = read_typed(password)
    assert isinstance(read, Typed)
    return read


def sha1(password: str) -> str:
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()


def lines(passwords: list[str], count: int = 3) -> list[str]:
    return sorted(f"{sha1(each)}:{count}" for each in passwords)


def as_file(folder: Path, rows: list[str], end: str = "\r\n") -> Path:
    path = folder / "pwned.txt"
    path.write_bytes("".join(f"{row}{end}" for row in rows).encode())
    return path


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("how", [str.upper, str.lower])
def test_every_line_of_a_file_is_found_and_nothing_else(
    tmp_path: Path, end: str, how: "object"
) -> None:
    assert callable(how)
    breached = BreachedPasswords(as_file(tmp_path, [how(row) for row in lines(KNOWN)], end))
    assert all(breached.has(typed(each)) for each in KNOWN)
    assert not any(breached.has(typed(f"{each}x")) for each in KNOWN)


def test_every_line_of_a_folder_is_found_and_nothing_else(tmp_path: Path) -> None:
    absent = [f"{each}x" for each in KNOWN]
    for each in (*KNOWN, *absent):
        (tmp_path / f"{sha1(each)[:5]}.txt").touch()
    for row in lines(KNOWN):
        with (tmp_path / f"{row[:5]}.txt").open("a") as file:
            file.write(f"{row[5:]}\r\n")
    breached = BreachedPasswords(tmp_path)
    assert all(breached.has(typed(each)) for each in KNOWN)
    assert not any(breached.has(typed(each)) for each in absent)


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, 10_000), max_size=40), st.booleans())
def test_a_file_of_any_length_with_or_without_a_last_line_feed(
    tmp_path_factory: pytest.TempPathFactory, numbers: set[int], ends: bool
) -> None:
    path = as_file(tmp_path_factory.mktemp("list"), lines([str(each) for each in numbers]), "\n")
    if not ends:
        path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    breached = BreachedPasswords(path)
    assert all(breached.has(typed(str(each))) for each in numbers)
    assert not breached.has(typed("another"))


def test_both_spellings_of_a_password_are_looked_for(tmp_path: Path) -> None:
    breached = BreachedPasswords(as_file(tmp_path, lines(["cafe\u0301", "caf\u00e8"])))
    assert breached.has(typed("cafe\u0301"))
    assert breached.has(typed("cafe\u0300"))
    assert not breached.has(typed("caf\u00e9"))


def test_what_was_seen_too_rarely_and_the_padding_of_the_api_do_not_count(tmp_path: Path) -> None:
    path = as_file(tmp_path, sorted([*lines(["rare"], 9), *lines(["often"], 10), *lines(["p"], 0)]))
    assert [BreachedPasswords(path, 10).has(typed(each)) for each in ("rare", "often")] == [
        False,
        True,
    ]
    assert not BreachedPasswords(path).has(typed("p"))
    with pytest.raises(SettingsFault, match="min_count"):
        BreachedPasswords(path, 0)


def test_a_file_that_is_exchanged_is_used_at_once(tmp_path: Path) -> None:
    path = as_file(tmp_path, lines(["old"]))
    breached = BreachedPasswords(path)
    assert breached.has(typed("old"))
    (tmp_path / "new").mkdir()
    as_file(tmp_path / "new", lines(["new"])).rename(path)
    assert breached.has(typed("new"))
    assert not breached.has(typed("old"))


@pytest.mark.parametrize(
    ("what", "content", "message"),
    [
        ("sorted by count", b"".join(b"%040X:1\n" % (99 - n) for n in range(99)), "order"),
        ("a line twice", b"".join(b"%040X:1\n" % (n // 9) for n in range(99)), "order"),
        ("no counts", b"".join(b"%040X\n" % n for n in range(9)), "no line"),
        ("NTLM", b"".join(b"%032X:1\n" % n for n in range(9)), "no line"),
        ("blank lines", b"\n" * 99, "no line"),
        ("one long line", b"A" * 100_000, "too long"),
        ("a page of HTML", b"<html>\n" * 50, "no line"),
        ("compressed", os.urandom(10_000).replace(b"\n", b"x"), "too long"),
        ("holes", b"\x00" * 100_000, "too long"),
    ],
)
def test_what_is_no_sorted_list_is_a_fault_and_never_a_good_password(
    tmp_path: Path, what: str, content: bytes, message: str
) -> None:
    path = tmp_path / "list"
    path.write_bytes(content)
    with pytest.raises(BreachedListFault, match=message) as fault:
        BreachedPasswords(path).has(typed("correct horse"))
    assert str(path) in str(fault.value), what
    assert sha1("correct horse") not in str(fault.value)


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsFault, match="there is no list"):
        BreachedPasswords(tmp_path / "none")
    with pytest.raises(BreachedListFault, match=r"[0-9A-F]{5}\.txt cannot be read"):
        BreachedPasswords(tmp_path).has(typed("correct horse"))
    path = as_file(tmp_path, lines(["old"]))
    breached = BreachedPasswords(path)
    path.unlink()
    with pytest.raises(BreachedListFault, match="cannot be read"):
        breached.has(typed("old"))
    path.mkdir()
    with pytest.raises(BreachedListFault, match="cannot be read"):
        breached.has(typed("old"))
