"""Personal data in claims: found by name and by value, never shown."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.tokens.pii import find_pii

FOUND: list[tuple[str, dict[str, Any], list[str]]] = [
    ("email by name", {"email": "x"}, ["email email name"]),
    ("email by name, camel case", {"emailAddress": "x"}, ["emailAddress email name"]),
    ("phone by name", {"phone_number": 123}, ["phone_number phone name"]),
    ("phone by its short name", {"msisdn": "1"}, ["msisdn phone name"]),
    ("IP by name", {"client-ip": "x"}, ["client-ip ip name"]),
    ("nested", {"profile": {"eMail": "x"}}, ["profile.eMail email name"]),
    ("in a list of objects", {"contacts": [{"phone": "1"}]}, ["contacts.phone phone name"]),
    ("email by value", {"sub": "alice@example.com"}, ["sub email value"]),
    ("mailto", {"c": "mailto:alice@example.com"}, ["c email value"]),
    ("phone by value", {"c": "+44 20 7946 0958"}, ["c phone value"]),
    ("tel", {"c": "tel:+14155550123"}, ["c phone value"]),
    ("IPv4 by value", {"c": "203.0.113.7"}, ["c ip value"]),
    ("IPv6 by value", {"c": "2001:db8::1"}, ["c ip value"]),
    ("a network", {"c": "203.0.113.0/24"}, ["c ip value"]),
    ("in a list", {"groups": ["a", "bob@example.com"]}, ["groups email value"]),
    ("the shortest address", {"c": "::"}, ["c ip value"]),
    ("a network with its mask", {"c": "10.0.0.0/255.0.0.0"}, ["c ip value"]),
    ("a tenant", {"tenantId": "a@example.com"}, ["tenantId email value"]),
    ("the issuer's name in another object", {"act": {"iss": "10.0.0.1"}}, ["act.iss ip value"]),
    ("two of them", {"email": "x", "c": "10.0.0.1"}, ["email email name", "c ip value"]),
]
CLEAN: list[tuple[str, dict[str, Any]]] = [
    ("ordinary claims", {"iss": "https://iam.example", "sub": "user-42", "exp": 1790000000}),
    ("email_verified", {"email_verified": True}),
    ("an empty claim", {"email": "", "phone": None}),
    ("a flag", {"phone": False}),
    ("a handle", {"sub": "@alice"}),
    ("a number without plus", {"c": "442079460958"}),
    ("an UUID", {"tenantId": "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"}),
    ("a version", {"c": "1.2.3"}),
    ("a version of two numbers", {"ver": "2.0"}),
    ("a time of day", {"c": "12:30"}),
    ("a URL with an address in it", {"iss": "https://203.0.113.7/iam"}),
    ("a word that holds a name", {"shipping": "x", "telephony": "x"}),
]


@pytest.mark.parametrize(("claims", "found"), [f[1:] for f in FOUND], ids=[f[0] for f in FOUND])
def test_what_is_found(claims: dict[str, Any], found: list[str]) -> None:
    assert [f"{f.claim} {f.kind} {f.by}" for f in find_pii(claims)] == found


@pytest.mark.parametrize("claims", [c[1] for c in CLEAN], ids=[c[0] for c in CLEAN])
def test_what_is_not(claims: dict[str, Any]) -> None:
    assert list(find_pii(claims)) == []


ALLOWED: list[tuple[frozenset[str], list[str]]] = [
    (frozenset(), ["email", "user.email", "user.ip"]),
    (frozenset({"email"}), ["user.email", "user.ip"]),
    (frozenset({"user.email", "user.ip"}), ["email"]),
    (frozenset({"user"}), ["email", "user.email", "user.ip"]),
]


@pytest.mark.parametrize(("allowed", "found"), ALLOWED)
def test_a_claim_is_allowed_by_its_whole_path(allowed: frozenset[str], found: list[str]) -> None:
    claims = {"email": "a@example.com", "user": {"email": "b@example.com", "ip": "10.0.0.1"}}
    assert [each.claim for each in find_pii(claims, allowed)] == found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON))
def test_no_claims_break_the_search(claims: dict[str, Any]) -> None:
    for finding in find_pii(claims):
        assert finding.by in {"name", "value"}


@pytest.mark.quiet
def test_the_search_takes_no_time_on_hostile_claims() -> None:

    worst = {"a": "+1" + "1 " * 4000, "b": "x" * 64 + "@" + "a." * 3000, "c": ":" * 8000}
    started = time.perf_counter()
    list(find_pii(worst))
    assert time.perf_counter() - started < 0.05
