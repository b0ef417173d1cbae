"""Another issuer's claims read fast: what is accepted so, the strict readers read alike."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.authz.token_policy import token_policy
from sidecar.common.errors import Denied
from sidecar.config import parse_config
from sidecar.tokens.claims import Claims, check_claims, read_claims
from sidecar.tokens.pii import find_pii
from sidecar.tokens.plain import read_plain_claims
from sidecar.tokens.policy import IssuerPolicy
from sidecar.tokens.strict import decode_json_object
from tests.config.documents import MINIMAL
from tests.support.issuer_shapes import SHAPES, Shape
from tests.support.minting import NOW


def rules_of(shape: Shape) -> IssuerPolicy:
    head, _, rest = MINIMAL.partition("  issuers:")
    listed = f"  issuers: [{{issuer: '{shape.issuer}', {shape.settings}}}]\n"
    tokens = parse_config(head + listed + rest.partition("\n")[2], "test").tokens
    return token_policy(tokens).issuers[shape.issuer]


RULES = [rules_of(shape) for shape in SHAPES]


def strict(raw: bytes, number: int) -> Claims:
    payload = decode_json_object(raw, "the payload")
    claims = read_claims(payload, RULES[number])
    assert claims.issuer == SHAPES[number].issuer
    check_claims(claims, RULES[number], NOW)
    assert not find_pii(payload, RULES[number].may_hold_pii)
    return claims


def held_against_strict(raw: bytes, number: int) -> Claims | None:
    fast = read_plain_claims(raw, RULES[number], SHAPES[number].issuer, NOW)
    if fast is not None:
        assert fast == strict(raw, number)
    return fast


@pytest.mark.parametrize("number", range(len(SHAPES)), ids=[shape.name for shape in SHAPES])
def test_each_shape_is_read_here(number: int) -> None:
    raw = json.dumps(SHAPES[number].payload, separators=(",", ":")).encode()
    assert held_against_strict(raw, number) is not None


@pytest.mark.parametrize("number", range(len(SHAPES)), ids=[shape.name for shape in SHAPES])
def test_another_issuer_or_time_is_left_to_the_others(number: int) -> None:
    shape, rules = SHAPES[number], RULES[number]
    raw = json.dumps(shape.payload, separators=(",", ":")).encode()
    assert read_plain_claims(raw, rules, "https://elsewhere.example", NOW) is None
    assert read_plain_claims(raw, rules, shape.issuer, NOW + 100_000) is None
    assert read_plain_claims(raw, rules, shape.issuer, NOW - 1000) is None


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 10**20), st.floats(allow_nan=False),
    st.text(max_size=8), st.sampled_from(["acme", "a.b", "10.0.0.1", "a@b.example", ":", '":']),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "email", "a", '":', "acme"]), inner, max_size=2)
    ),
    max_leaves=5,
)
NAMES = st.sampled_from(
    ["sub", "jti", "aud", "exp", "iat", "nbf", "tid", "org", "organization", "realm_access",
     "resource_access", "scp", "scope", "roles", "firebase", "nonce", "typ", "email", "azp", "x"]
)  # fmt: skip
WHICH = st.integers(0, len(SHAPES) - 1)


@settings(max_examples=300)
@given(WHICH, st.dictionaries(NAMES, VALUES, max_size=3), st.booleans())
def test_changed_claims(number: int, changes: dict[str, Any], spaced: bool) -> None:
    separators = (", ", ": ") if spaced else (",", ":")
    payload = {**SHAPES[number].payload, **changes}
    raw = json.dumps(payload, separators=separators, ensure_ascii=False)
    held_against_strict(raw.encode("utf-8", "surrogatepass"), number)


PIECES = st.sampled_from(
    [b'"', b":", b",", b'":', b'":":', b"{", b"}", b"[", b"]", b" ", b"\\", b'"sub":"x",',
     b'"id":1,', b'"a":{"a":1,"a":2},', b'[{"x":1,"x":1}],', b"\t", b"\xc3\xa9", b"null"]
)  # fmt: skip


@settings(max_examples=500)
@given(WHICH, st.lists(st.tuples(st.integers(0, 400), PIECES), max_size=4))
def test_broken_json(number: int, edits: list[tuple[int, bytes]]) -> None:
    raw = json.dumps(SHAPES[number].payload, separators=(",", ":")).encode()
    for position, piece in edits:
        raw = raw[:position] + piece + raw[position:]
    try:
        held_against_strict(raw, number)
    except Denied as denied:  # accepted on the fast path alone
        raise AssertionError(raw) from denied
