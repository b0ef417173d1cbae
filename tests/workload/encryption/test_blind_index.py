"""Equality search: what is equal, what is cut, and which keys."""

import hmac

import pytest

from tests.workload.encryption.keys_in_hand import EMAIL, in_hand
from workload.encryption import BlindIndex, FieldColumn, KeyScope, caseless, ip_address, phone
from workload.encryption.blind_index import Normalise
from workload.encryption.errors import FieldInputFault

SCOPE = KeyScope("acme", "contact").for_index()
KEYS = in_hand(SCOPE, 1, 2)


def test_a_token_is_an_hmac_of_the_normalised_value_cut() -> None:
    (key,) = in_hand(SCOPE).live_keys()
    keys = in_hand(SCOPE)
    keys.update({1: key}, 1, 1.0)
    whole = hmac.digest(key.index_key(EMAIL.encoded), b"someone@example.com", "sha256")
    for length in (2, 16, 32):
        index = BlindIndex(EMAIL, caseless, length)
        assert index.token(keys, " Someone@Example.COM ") == whole[:length]


def test_a_search_has_a_token_for_each_live_key_and_a_row_that_of_the_writing_one() -> None:
    index = BlindIndex(EMAIL)
    one, other = index.tokens(KEYS, "x")
    assert one != other
    assert index.token(KEYS, "x") == one


def test_columns_tenants_and_values_have_tokens_of_their_own() -> None:
    index = BlindIndex(EMAIL)
    tokens = [
        index.token(KEYS, "x"),
        index.token(KEYS, "y"),
        index.token(KEYS, "X"),
        BlindIndex(FieldColumn("people", "phone")).token(KEYS, "x"),
        index.token(in_hand(SCOPE), "x"),
    ]
    assert len(set(tokens)) == len(tokens)


@pytest.mark.parametrize(
    ("normalise", "one", "other", "equal"),
    [
        (caseless, "Straße", "STRASSE", True),
        (caseless, "\ufb01le", "file", True),
        (caseless, "e\u0301", "\u00c9", True),
        (caseless, "a.b@example.com", "ab@example.com", False),
        (phone, "+49 (30) 123-456", "0049 30 123456", True),
        (phone, "\uff0b49\u201030 1", "+49301", True),
        (phone, "030 123", "+4930123", False),
        (ip_address, "2001:DB8::1", "2001:db8:0:0::1", True),
        (ip_address, "::ffff:192.0.2.1", "192.0.2.1", True),
    ],
)
def test_what_is_equal(normalise: Normalise, one: str, other: str, equal: bool) -> None:
    index = BlindIndex(EMAIL, normalise)
    assert (index.token(KEYS, one) == index.token(KEYS, other)) == equal


@pytest.mark.parametrize(
    ("normalise", "value"),
    [
        (phone, "12"), (phone, "+4930x"), (phone, ""), (phone, "++49301"), (phone, "٣٠٣٠٣"),
        (ip_address, "192.0.2.256"), (ip_address, "192.0.2.01"),
        (caseless, None), (caseless, "\ud800"), (caseless, "x" * 70_000),
    ],
)  # fmt: skip
def test_what_has_no_token_and_is_not_quoted(normalise: Normalise, value: str) -> None:
    with pytest.raises(FieldInputFault) as raised:
        BlindIndex(EMAIL, normalise).token(KEYS, value)
    assert not value or value not in str(raised.value)


@pytest.mark.parametrize("length", [0, 1, 33])
def test_a_token_has_a_length(length: int) -> None:
    with pytest.raises(FieldInputFault, match="from 2 to 32"):
        BlindIndex(EMAIL, token_bytes=length)


def test_keys_that_seal_make_no_index() -> None:
    with pytest.raises(FieldInputFault, match="for_index"):
        BlindIndex(EMAIL).token(in_hand(KeyScope("acme", "contact")), "x")
