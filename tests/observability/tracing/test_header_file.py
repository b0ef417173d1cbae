"""The file of a collector's headers: what it may hold, and that no message quotes it."""

from pathlib import Path

import pytest

from sidecar.observability.tracing.header_file import MAX_HEADERS, HeaderFileFault, read_headers

GOOD = [
    ("one", b"x-api-key: s3cret\n", {"x-api-key": "s3cret"}),
    ("no line end", b"x-api-key: s3cret", {"x-api-key": "s3cret"}),
    ("Windows' line ends", b"a: 1\r\nb: 2\r\n", {"a": "1", "b": "2"}),
    ("empty lines", b"\n\na: 1\n\n", {"a": "1"}),
    ("capitals, spaces inside", b"Authorization:Basic a b\n", {"authorization": "Basic a b"}),
    ("nothing", b"", {}),
]


@pytest.mark.parametrize(("raw", "headers"), [row[1:] for row in GOOD], ids=[r[0] for r in GOOD])
def test_headers_are_read(tmp_path: Path, raw: bytes, headers: dict[str, str]) -> None:
    file = tmp_path / "headers"
    file.write_bytes(raw)
    assert read_headers(file) == headers


BAD = [
    ("no colon", b"s3cret\n", "line 1 is no header"),
    ("no value", b"a: 1\nb:\n", "line 2 is no header"),
    ("a space before the colon", b"a : s3cret\n", "line 1 is no header"),
    ("a control character", b"a: s3cret\x01\n", "line 1 is no header"),
    ("a carriage return inside", b"a: s3cret\rb: 2\n", "line 1 is no header"),
    ("a name twice", b"a: 1\nA: s3cret\n", "line 2 is no header"),
    ("the body's type", b"content-type: s3cret\n", "line 1 is no header"),
    ("another host", b"host: s3cret\n", "line 1 is no header"),
    ("beyond ASCII", "a: s3cret é\n".encode(), "beyond ASCII"),
    ("too many", b"".join(b"a%d: s3cret\n" % n for n in range(MAX_HEADERS + 1)), "too large"),
    ("too long", b"a: s3cret" + b"x" * 20_000, "too large"),
]


@pytest.mark.parametrize(("raw", "said"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_what_is_no_header_is_refused_unquoted(tmp_path: Path, raw: bytes, said: str) -> None:
    file = tmp_path / "headers"
    file.write_bytes(raw)
    with pytest.raises(HeaderFileFault, match=said) as refused:
        read_headers(file)
    assert "s3cret" not in str(refused.value)
    assert str(file) in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HeaderFileFault, match=r"can't be read from .*No such file"):
        read_headers(tmp_path / "headers")
