"""A file that a person names is read as bounded text, and every fault names it alone."""

from pathlib import Path

import pytest

from sidecar.cli.files import MAX_KEY_FILE_BYTES, read_text
from sidecar.common.errors import Fault


@pytest.mark.parametrize("text", ["", "a key", "ü" * 8], ids=["empty", "text", "two-byte letters"])
def test_text_up_to_the_limit_is_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    assert read_text(path, max(16, len(text.encode()))) == text


@pytest.mark.parametrize(
    ("content", "max_bytes", "said"),
    [
        (b"12345", 4, "is larger than 4 bytes: is it the right file?"),
        ("aaaü".encode() + b"b", 4, "is larger than 4 bytes: is it the right file?"),
        (b"secret \xff", 16, "is not UTF-8 text: is it the right file?"),
        (None, 16, "cannot be read: No such file or directory"),
    ],
    ids=["one byte more", "cut within a letter", "no text", "absent"],
)
def test_what_is_wrong_is_said_without_the_content(
    tmp_path: Path, content: bytes | None, max_bytes: int, said: str
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Fault) as fault:
        read_text(path, max_bytes)
    assert str(fault.value) == f"{path} {said}"


def test_a_key_file_has_a_limit_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * (MAX_KEY_FILE_BYTES + 1))
    with pytest.raises(Fault, match="is larger than 1048576 bytes"):
        read_text(path)
