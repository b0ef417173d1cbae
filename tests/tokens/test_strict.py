"""One spelling of every value, whether base64url or JSON."""

import pytest

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.strict import MAX_JSON_DEPTH, decode_base64url, decode_json_object
from tests.support.minting import b64

OTHER_SPELLINGS: list[tuple[str, bytes]] = [
    ("padding", b"YQ=="),
    ("a space", b"Y Q"),
    ("a line feed at the end", b"YWJj\n"),
    ("the standard alphabet's plus", b"-_-+"),
    ("the standard alphabet's slash", b"-_-/"),
    ("bits that stray, two characters", b"YR"),
    ("bits that stray, three characters", b"YWK"),
    ("a length that is no number of bytes", b"YWJjY"),
    ("beyond ASCII", "YQ\u00e9".encode()),
    ("NUL", b"YWJ\0"),
]


@pytest.mark.parametrize("raw", [b"", b"a", b"ab", b"abc", b"\xff\xfe\xfd", bytes(range(256))])
def test_what_is_encoded_is_decoded(raw: bytes) -> None:
    assert decode_base64url(b64(raw).encode(), "it") == raw


@pytest.mark.parametrize(
    "segment", [row[1] for row in OTHER_SPELLINGS], ids=[row[0] for row in OTHER_SPELLINGS]
)
def test_another_spelling_is_refused(segment: bytes) -> None:
    with pytest.raises(Denied, match=r"base64url|trailing bits") as denied:
        decode_base64url(segment, "it")
    assert denied.value.reason is Reason.TOKEN_MALFORMED


NOT_STRICT: list[tuple[str, bytes]] = [
    ("a member twice", b'{"a":1,"a":1}'),
    ("a member twice, inside", b'{"a":{"b":1,"b":2}}'),
    ("NaN", b'{"a":NaN}'),
    ("Infinity", b'{"a":-Infinity}'),
    ("no object", b"[]"),
    ("two objects", b"{}{}"),
    ("a comment", b"{}//"),
    ("not UTF-8", b'{"a":"\xff"}'),
    ("a byte order mark", b"\xef\xbb\xbf{}"),
    ("UTF-16", '{"a":1}'.encode("utf-16-le")),
    ("nothing", b""),
    ("one level too deep", b'{"a":' + b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH + b"}"),
    ("a hundred thousand levels", b'{"a":' + b"[" * 100_000),
]


@pytest.mark.parametrize("raw", [row[1] for row in NOT_STRICT], ids=[row[0] for row in NOT_STRICT])
def test_what_two_readers_may_read_differently_is_refused(raw: bytes) -> None:
    with pytest.raises(Denied) as denied:
        decode_json_object(raw, "it")
    assert denied.value.reason is Reason.TOKEN_MALFORMED


def test_brackets_in_strings_are_no_levels() -> None:
    text = "[{" * MAX_JSON_DEPTH + '\\"]'
    assert decode_json_object(b'{"a":"' + text.encode() + b'"}', "it")["a"].startswith("[{[{")
    deepest = b'{"a":' + b"[" * (MAX_JSON_DEPTH - 1) + b"]" * (MAX_JSON_DEPTH - 1) + b"}"
    assert "a" in decode_json_object(deepest, "it")
