"""The strict readers, at their edges."""

import base64
import json

import pytest

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.strict import MAX_JSON_DEPTH, decode_base64url, decode_json_object
from tests.support.minting import b64

DEEP = MAX_JSON_DEPTH - 1
"""One level is the object's own."""


def refused(raw: bytes) -> str:
    with pytest.raises(Denied) as denied:
        decode_json_object(raw, "the payload")
    assert denied.value.reason is Reason.TOKEN_MALFORMED
    assert denied.value.detail.startswith("the payload ")
    return denied.value.detail


NESTED = [
    ("arrays", '{"a":' + "[" * DEEP + "]" * DEEP + "}", True),
    ("one array more", '{"a":' + "[" * (DEEP + 1) + "]" * (DEEP + 1) + "}", False),
    ("objects", '{"a":' * DEEP + "{}" + "}" * DEEP, True),
    ("one object more", '{"a":' * (DEEP + 1) + "{}" + "}" * (DEEP + 1), False),
    ("many beside each other", json.dumps({"a": [[]] * 100, "b": [{}] * 100}), True),
    ("brackets in a text", json.dumps({"a": "[" * 100 + '"{' * 100 + "\\"}), True),
    ("brackets in a text, then in truth", '{"a":"]\\"]","b":' + "[" * 16 + "]" * 16 + "}", False),
    ("closed in a text alone", '{"a":' + '["]",' * 16 + "1" + "]" * 16 + "}", False),
]


@pytest.mark.parametrize(("text", "good"), [row[1:] for row in NESTED], ids=[r[0] for r in NESTED])
def test_depth(text: str, good: bool) -> None:
    if good:
        assert decode_json_object(text.encode(), "the payload") == json.loads(text)
    else:
        assert "nested deeper than 16" in refused(text.encode())


WRONG = [
    (b'{"a":1,"a":1}', "is not strict JSON"),
    (b'{"b":{"a":1,"a":2}}', "is not strict JSON"),
    (b'{"a":NaN}', "is not strict JSON"),
    (b'{"a":-Infinity}', "is not strict JSON"),
    (b'{"a":1}x', "is not strict JSON"),
    (b"", "is not strict JSON"),
    (b"\xff", "is not UTF-8"),
    (b"[]", "is not a JSON object"),
    (b'"a"', "is not a JSON object"),
    (b"null", "is not a JSON object"),
]


@pytest.mark.parametrize(("raw", "said"), WRONG)
def test_what_is_no_object_says_which_rule_it_breaks(raw: bytes, said: str) -> None:
    assert said in refused(raw)


@pytest.mark.parametrize("length", range(9))
def test_every_length_has_one_spelling(length: int) -> None:
    for raw in (bytes(range(251, 251 - length, -1)), b"\0" * length, b"\xff" * length):
        text = b64(raw).encode()
        assert decode_base64url(text, "it") == raw
        for other in (text + b"=", base64.urlsafe_b64encode(raw) + b"=", text + b"A" * 4 + b"\n"):
            with pytest.raises(Denied, match="it is not base64url without padding"):
                decode_base64url(other, "it")


@pytest.mark.parametrize(
    "segment", [b"A", b"AAAAA", b"AA+A", b"AA/A", b"AA A", b"AA\0A", b"A\xe9AA"]
)
def test_what_is_not_of_the_alphabet(segment: bytes) -> None:
    with pytest.raises(Denied, match="the header is not base64url"):
        decode_base64url(segment, "the header")


@pytest.mark.parametrize(
    ("segment", "good"), [(b"AQ", True), (b"AR", False), (b"AAE", True), (b"AAF", False)]
)
def test_bits_that_decode_to_nothing_are_zero(segment: bytes, good: bool) -> None:
    if good:
        decode_base64url(segment, "it")
        return
    with pytest.raises(Denied, match="it has stray trailing bits"):
        decode_base64url(segment, "it")
