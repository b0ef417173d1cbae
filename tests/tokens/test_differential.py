"""Against PyJWT, an independent hand: whatever we accept, it accepts; and one mutation is enough.

The other way round we are stricter on purpose, and ``docs/token-rules.md`` says where.
"""

import json
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.common.errors import Denied
from sidecar.tokens.verifier import verify_token
from tests.support.minting import AUDIENCE, ISSUER, NOW, Issuer, base_claims, policy

ISSUER_KEY = Issuer.generate()
REQUIRED = ["exp", "iat", "nbf", "iss", "aud", "sub", "jti"]


def pyjwt_accepts(token: bytes) -> dict[str, Any] | None:
    """Decode with PyJWT as a careful user of it would, at ``NOW``."""
    try:
        return jwt.decode(
            token.decode("ascii", "replace"),
            ISSUER_KEY.private.public_key(),
            algorithms=["ES256"],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={
                "require": REQUIRED,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.PyJWTError:
        return None


def we_accept(token: bytes) -> dict[str, Any] | None:
    """Verify both ways; they must agree with each other before they are held against PyJWT."""
    results: list[object] = []
    for keep_payload in (False, True):
        try:
            verified = verify_token(
                token, ISSUER_KEY.ring, policy(), NOW, keep_payload=keep_payload
            )
        except Denied as denied:
            results.append((denied.reason, denied.detail))
            payload = None
        else:
            results.append(verified.claims)
            payload = verified.payload
    assert results[0] == results[1]
    return payload


TEXTS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=","),
    min_size=1,
    max_size=20,
)
GOOD_CLAIMS = st.fixed_dictionaries(
    {
        "sub": TEXTS,
        "jti": TEXTS,
        "aud": st.one_of(
            st.just(AUDIENCE), st.lists(TEXTS, max_size=3).map(lambda more: [AUDIENCE, *more])
        ),
        "iat": st.integers(int(NOW) - 300, int(NOW)),
        "exp": st.integers(int(NOW) + 1, int(NOW) + 600),
        "nbf": st.one_of(st.integers(int(NOW) - 300, int(NOW)), st.floats(NOW - 300, NOW)),
        "roles": st.lists(TEXTS, max_size=4),
    },
    optional={"scope": st.lists(TEXTS, max_size=3).map(" ".join), "extra": st.text(max_size=30)},
)


@given(GOOD_CLAIMS)
def test_every_good_token_is_accepted_by_both_and_read_alike(claims: dict[str, Any]) -> None:
    token = ISSUER_KEY.mint(**claims)
    ours, theirs = we_accept(token), pyjwt_accepts(token)
    assert ours is not None
    assert ours == theirs


@settings(max_examples=400)
@given(st.data())
def test_what_we_accept_after_one_mutation_pyjwt_accepts_too(data: st.DataObject) -> None:
    """Flip, drop, repeat or insert one byte anywhere."""
    token = bytearray(ISSUER_KEY.mint())
    at = data.draw(st.integers(0, len(token) - 1))
    match data.draw(st.sampled_from(["flip", "drop", "repeat", "insert"])):
        case "flip":
            token[at] ^= 1 << data.draw(st.integers(0, 7))
        case "drop":
            del token[at]
        case "repeat":
            token.insert(at, token[at])
        case _:
            token.insert(at, data.draw(st.integers(0, 255)))
    assert we_accept(bytes(token)) is None, "the signature covers all, and every spelling is one"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300)
@given(st.sampled_from(sorted(base_claims())), JSON)
def test_one_claim_of_any_value_is_never_accepted_by_us_alone(name: str, value: object) -> None:
    payload = json.dumps({**base_claims(), name: value})
    token = ISSUER_KEY.mint_raw(ISSUER_KEY.header(), payload)
    if we_accept(token) is not None:
        assert pyjwt_accepts(token) is not None


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.one_of(
            st.sampled_from(["alg", "typ", "kid", "crit", "jwk", "b64"]), st.text(max_size=5)
        ),
        JSON,
        max_size=4,
    )
)
def test_one_header_of_any_shape_is_never_accepted_by_us_alone(changes: dict[str, Any]) -> None:
    header = json.dumps({**json.loads(ISSUER_KEY.header()), **changes})
    token = ISSUER_KEY.mint_raw(header, json.dumps(base_claims()))
    if we_accept(token) is not None:
        assert pyjwt_accepts(token) is not None


STRICTER = [
    ("padding", lambda: ISSUER_KEY.mint() + b"=="),
    (
        "a header member twice",
        lambda: ISSUER_KEY.mint_raw(
            ISSUER_KEY.header()[:-1] + ',"kid":"key-1"}', json.dumps(base_claims())
        ),
    ),
    (
        "a claim twice",
        lambda: ISSUER_KEY.mint_raw(
            ISSUER_KEY.header(), json.dumps(base_claims())[:-1] + ',"sub":"x"}'
        ),
    ),
    (
        "an unknown header parameter",
        lambda: ISSUER_KEY.mint_raw(ISSUER_KEY.header(foo=1), json.dumps(base_claims())),
    ),
    ("no typ", lambda: ISSUER_KEY.mint_raw(ISSUER_KEY.header(typ=None), json.dumps(base_claims()))),
    (
        "NaN",
        lambda: ISSUER_KEY.mint_raw(ISSUER_KEY.header(), json.dumps(base_claims(x=float("nan")))),
    ),
]


@pytest.mark.parametrize("make", [s[1] for s in STRICTER], ids=[s[0] for s in STRICTER])
def test_where_we_are_stricter(make: Any) -> None:
    token = make()
    assert pyjwt_accepts(token) is not None, "if PyJWT has learnt this, say so in the docs"
    assert we_accept(token) is None
