"""The parts of a payload: what can't stand in one is left out whole."""

import pytest

from sidecar.authz.encoding.repeatable import CommonFields
from sidecar.decision_cache.payload import (
    TokenKind,
    common_part,
    token_texts,
)
from sidecar.tokens.cache import CachedToken
from sidecar.tokens.verifier import verify_token
from tests.support.minting import NOW, Issuer, policy

ISSUER = Issuer.generate()
KIND = TokenKind(b',"kid":"k"', has_roles=True, written_otherwise=False)
RIGHT = CommonFields((), ("x-a",), ((2, "x-b", b"1"),), (("reason", "token_verified"),))


def common(fields: CommonFields) -> bytes | None:
    return common_part(fields, "token_verified", "api", "active", KIND)


def cached() -> CachedToken:
    token = verify_token(ISSUER.mint(), ISSUER.ring, policy(), NOW, keep_payload=False)
    return CachedToken(NOW - 40.0005, NOW + 630.9999, b"d" * 32, token, ())


def test_a_sound_answer_has_a_common_part() -> None:
    part = common(RIGHT)
    assert part is not None
    assert part.split(b"\x1e")[0] == b"2\x1fx-b\x1f1"


WRONG = {
    "a name in capitals": RIGHT._replace(removed=("X-A",)),
    "no name": RIGHT._replace(removed=("",)),
    "a long name": RIGHT._replace(removed=("x" * 129,)),
    "a line end in a value": RIGHT._replace(response_headers=((2, "x-b", b"1\r\n"),)),
    "a separator in a value": RIGHT._replace(request_headers=(("x-b", b"\x1a0"),)),
    "a letter that is not ASCII": RIGHT._replace(metadata=(("route", "\u00e4"),)),
    "two ways of one header": RIGHT._replace(
        response_headers=((2, "vary", b"a"), (0, "vary", b"b"))
    ),
    "more records than a module takes": RIGHT._replace(
        removed=tuple(f"x-{number}" for number in range(192))
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_a_module_could_not_repeat_has_none(what: str) -> None:
    assert common(WRONG[what]) is None


def test_times_are_never_longer_than_the_sidecars() -> None:
    texts = token_texts(cached())
    assert texts is not None
    starts, ends = map(int, texts.times.removesuffix(b"\x1f").split(b"\x1f"))
    assert (starts, ends) == (int(NOW * 1000) - 40_000, int(NOW * 1000) + 630_999)
    assert starts / 1000 >= NOW - 40.0005
    assert ends / 1000 <= NOW + 630.9999


def test_a_text_of_another_alphabet_is_not_sent() -> None:
    token = cached()
    token.warnings = ("\u2028",)
    assert token_texts(token) is not None, "JSON escapes it"
    token.warnings = ("\u00e4",)
    assert token_texts(token) is None
