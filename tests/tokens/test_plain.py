"""Reading ordinary claims fast: what it accepts, the strict readers accept and read alike."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.common.errors import Denied
from sidecar.tokens.claims import Claims, check_claims, read_claims
from sidecar.tokens.pii import find_pii
from sidecar.tokens.plain import read_plain_claims
from sidecar.tokens.strict import decode_json_object
from tests.support.minting import ISSUER, NOW, TENANT, base_claims, rules

POLICY = rules()


def compact(claims: object) -> bytes:
    return json.dumps(claims, separators=(",", ":")).encode()


def strict(raw: bytes, issuer: str | None = ISSUER) -> Claims:
    payload = decode_json_object(raw, "the payload")
    claims = read_claims(payload, POLICY)
    assert issuer is None or claims.issuer == issuer
    check_claims(claims, POLICY, NOW)
    assert not find_pii(payload)
    return claims


def held_against_strict(raw: bytes) -> Claims | None:
    """What is read as plain must be read alike by the others; nothing else is asked of it."""
    plain = read_plain_claims(raw, POLICY, ISSUER, NOW)
    if plain is not None:
        assert plain == strict(raw)
    return plain


ORDINARY: list[dict[str, Any]] = [
    {},
    {"aud": "https://api.septemcore.com"},
    {"aud": ["https://api.septemcore.com", "https://other.example"]},
    {"exp": NOW - 29.75, "iat": NOW - 60, "nbf": NOW - 60},
    {"iat": NOW + 30, "nbf": NOW + 30},
    {"exp": NOW + 890},
    {"scope": "orders.read orders.write"},
    {"scope": ""},
    {"roles": []},
    {"client_id": "web", "sid": "a1b2", "ver": 2, "amr": ["pwd"]},
    {"sub": "service.orders:reader"},
    {"tenantId": TENANT.upper()},
]


@pytest.mark.parametrize("changes", ORDINARY, ids=repr)
def test_ordinary_claims_are_read_here(changes: dict[str, Any]) -> None:
    assert held_against_strict(compact({**base_claims(), **changes})) is not None


OTHERWISE = [
    b"", b"{}", b"[]", b"null", b'"a"', b"{", b"\xff", b"\xef\xbb\xbf{}",
    compact({**base_claims(), "exp": NOW - 31}),
    compact({**base_claims(), "exp": NOW - 30, "iat": NOW - 60, "nbf": NOW - 60}),
    compact({**base_claims(), "nbf": NOW + 30.25}),
    compact({**base_claims(), "iat": NOW + 30.25}),
    compact({**base_claims(), "exp": NOW + 890.25}),
    compact({**base_claims(), "nbf": NOW + 31}),
    compact({**base_claims(), "iat": NOW + 31}),
    compact({**base_claims(), "exp": NOW + 100_000}),
    compact({**base_claims(), "exp": True}),
    compact({**base_claims(), "exp": 1e300}),
    compact({**base_claims(), "iss": "https://elsewhere.example"}),
    compact({**base_claims(), "iss": ["a"]}),
    compact({**base_claims(), "aud": "https://elsewhere.example"}),
    compact({**base_claims(), "aud": []}),
    compact({**base_claims(), "aud": [1]}),
    compact({**base_claims(), "aud": {"a": 1}}),
    compact({**base_claims(), "sub": ""}),
    compact({**base_claims(), "sub": "a b"}),
    compact({**base_claims(), "sub": "a\nb"}),
    compact({**base_claims(), "sub": "j\u00fcrgen"}),
    compact({**base_claims(), "sub": 1}),
    compact({**base_claims(), "sub": "10.1.2.3"}),
    compact({**base_claims(), "sub": "me@example.com"}),
    compact({**base_claims(), "jti": "2001:db8::1"}),
    compact({**base_claims(), "roles": ["a,b"]}),
    compact({**base_claims(), "roles": ["10.1.2.3"]}),
    compact({**base_claims(), "roles": "admin"}),
    compact({**base_claims(), "roles": [["a"]]}),
    compact({**base_claims(), "roles": [{}]}),
    compact({**base_claims(), "scope": "a  b"}),
    compact({**base_claims(), "scope": ["a"]}),
    compact({**base_claims(), "tenantId": "7"}),
    compact({**base_claims(), "tenantId": [1]}),
    compact({**base_claims(), "token_use": "refresh"}),
    compact({**base_claims(), "email": "x"}),
    compact({**base_claims(), "phone": 491234567}),
    compact({**base_claims(), "address": {"a": 1}}),
    compact(base_claims())[:-1] + b',"sub":"other"}',
    compact(base_claims())[:-1] + b',"sub" :"other"}',
    compact(base_claims())[:-1] + b',"sub"\t:"other","x":":y"}',
    compact(base_claims())[:-1] + b',"s\\u0075b":"other"}',
    compact(base_claims()) + b"x",
    compact(base_claims()).replace(b":", b" : "),
]  # fmt: skip


@pytest.mark.parametrize("raw", OTHERWISE, ids=lambda raw: repr(raw[-40:]))
def test_everything_else_is_left_to_the_others(raw: bytes) -> None:
    assert read_plain_claims(raw, POLICY, ISSUER, NOW) is None


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "jti", "tenantId", "exp", "iat", "nbf"])
def test_a_claim_that_is_missing_is_left_to_the_others(name: str) -> None:
    claims = base_claims()
    del claims[name]
    assert read_plain_claims(compact(claims), POLICY, ISSUER, NOW) is None


def test_without_nbf_where_none_is_asked_for() -> None:
    claims = base_claims()
    del claims["nbf"]
    lenient = rules(require_nbf=False)
    read = read_plain_claims(compact(claims), lenient, ISSUER, NOW)
    assert read is not None
    assert read.not_before == read.issued_at


def test_a_key_of_another_issuer_reads_nothing() -> None:
    raw = compact(base_claims())
    assert read_plain_claims(raw, POLICY, "https://other.example", NOW) is None
    anybody = msgspec.structs.replace(POLICY, audiences=None)
    assert read_plain_claims(raw, anybody, ISSUER, NOW) is None


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 10**20), st.floats(allow_nan=False),
    st.text(max_size=12), st.sampled_from(["admin", "a.b", "10.0.0.1", ":", ": ", '":', "refresh"]),
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=4)
NAMES = st.sampled_from(
    [*base_claims(), "email", "ip", "typ", "token_use", "sub ", ":", '":', "a:b", "client_id"]
)  # fmt: skip


@settings(max_examples=400)
@given(st.dictionaries(NAMES, VALUES, max_size=3), st.booleans())
def test_changed_claims(changes: dict[str, Any], spaced: bool) -> None:
    separators = (", ", ": ") if spaced else (",", ":")
    raw = json.dumps({**base_claims(), **changes}, separators=separators, ensure_ascii=False)
    held_against_strict(raw.encode("utf-8", "surrogatepass"))


PIECES = st.sampled_from(
    [b'"', b":", b",", b'":', b'" :', b'":":', b"{", b"}", b"[", b"]", b" ", b"\\", b"1", b"sub",
     b'"sub":"x"', b'"x":1', b"\t", b"\xc3\xa9", b"null"]
)  # fmt: skip


@settings(max_examples=600)
@given(st.lists(st.tuples(st.integers(0, 400), PIECES), max_size=4))
def test_broken_json(edits: list[tuple[int, bytes]]) -> None:
    raw = compact(base_claims())
    for position, piece in edits:
        raw = raw[:position] + piece + raw[position:]
    plain = read_plain_claims(raw, POLICY, ISSUER, NOW)
    if plain is not None:
        assert plain == strict(raw)


def test_the_same_denial_as_ever_comes_from_the_strict_readers() -> None:
    with pytest.raises(Denied, match="expired"):
        strict(compact({**base_claims(), "exp": NOW - 31, "iat": NOW - 60, "nbf": NOW - 60}))
