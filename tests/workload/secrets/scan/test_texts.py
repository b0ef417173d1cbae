"""What of a file is looked at."""

import pytest

from workload.secrets.scan.texts import is_key_store, text_of


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"a", "a"),
        (b"", ""),
        (b"a\0b", None),
        (b"\xff", "�"),
        (b"x" * 8192 + b"\0", "x" * 8192 + "\0"),
    ],
)
def test_a_text_has_no_nul_at_its_beginning(raw: bytes, text: str | None) -> None:
    assert text_of(raw) == text


@pytest.mark.parametrize(("path", "is_one"), [("a/B.P12", True), ("a.jks", True), ("a.py", False)])
def test_stores_of_keys_are_told_by_their_names(path: str, is_one: bool) -> None:
    assert is_key_store(path) is is_one
