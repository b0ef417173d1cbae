"""A file that somebody rotates."""

import logging
import os
from pathlib import Path

import pytest

from workload.secrets import SecretFile, SecretsFault


def replace(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b"two\nlines\n\n", "two\nlines\n"),
        (b" spaces stay ", " spaces stay "),
        ("größer".encode(), "größer"),
    ],
)
def test_the_content_without_its_line_end(tmp_path: Path, content: bytes, secret: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    assert SecretFile(path).current.reveal() == secret


def test_another_file_in_its_place_is_read(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(b"old")
    followed = SecretFile(path)
    before = followed.current
    assert followed.current is before
    replace(path, b"new")
    assert followed.current.reveal() == "new"
    assert repr(followed.current) == f"Secret({path})"


def test_kubernetes_links_are_followed(tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "password").write_text(f"number {name}")
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "password").symlink_to("..data/password")
    followed = SecretFile(tmp_path / "password")
    assert followed.current.reveal() == "number 1"
    (tmp_path / "next").symlink_to("2")
    (tmp_path / "next").replace(tmp_path / "..data")
    assert followed.current.reveal() == "number 2"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "can't be read: No such file"),
        (lambda path: replace(path, b""), "is empty"),
        (lambda path: replace(path, b"\xff\xfe"), "no UTF-8"),
        (lambda path: replace(path, b"x" * 65_537), "more than 65536 bytes"),
    ],
)
def test_what_can_t_be_read_changes_nothing_and_is_said_once(
    tmp_path: Path, spoil: object, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "password"
    path.write_bytes(b"good")
    followed = SecretFile(path)
    spoil(path)  # type: ignore[operator]
    assert [followed.current.reveal() for _ in range(3)] == ["good"] * 3
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert said in record.getMessage()
    assert "good" not in caplog.text
    replace(path, b"better")
    assert followed.current.reveal() == "better"
    os.truncate(path, 0)
    with pytest.raises(SecretsFault, match="password"):
        SecretFile(path)
