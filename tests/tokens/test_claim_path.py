"""Paths of claims: what a text means, what is found, and what is ambiguous."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.config.claims import ClaimPath as Written
from sidecar.tokens.claim_path import parse_claim_path

PARSED: list[tuple[str, tuple[str | None, ...]]] = [
    ("sub", ("sub",)),
    ("realm_access.roles", ("realm_access", "roles")),
    ('"cognito:groups"', ("cognito:groups",)),
    ('"https://acme.example/tenant"', ("https://acme.example/tenant",)),
    ('"kubernetes.io".namespace', ("kubernetes.io", "namespace")),
    ("organization.*.id", ("organization", None, "id")),
    ('a."*"', ("a", "*")),
    ('"a.b"."c.d"', ("a.b", "c.d")),
    ("urn-x.y_z.1", ("urn-x", "y_z", "1")),
]


@pytest.mark.parametrize(("text", "segments"), PARSED)
def test_what_a_path_means(text: str, segments: tuple[str | None, ...]) -> None:
    path = parse_claim_path(text)
    assert path.segments == segments
    assert str(path) == text
    (form,) = (each.pattern for each in Written.__metadata__)  # type: ignore[attr-defined]
    assert re.search(form, text)


PAYLOAD: dict[str, Any] = {
    "sub": "u",
    "none": None,
    "zero": 0,
    "empty": {},
    "nothing": [],
    "a": {"b": {"c": "deep"}, "*": "star"},
    "a.b": "dotted",
    "one": {"x": {"id": "1"}},
    "two": {"x": {"id": "1"}, "y": {"id": "2"}},
    "odd": {"x": {"id": "1"}, "y": {}},
    "list": ["only"],
    "lists": ["one", "two"],
}
FOUND: list[tuple[str, Any]] = [
    ("sub", "u"),
    ("none", None),
    ("none.x", None),
    ("zero", 0),
    ("missing", None),
    ("missing.*.id", None),
    ("sub.x", None),
    ("sub.*", None),
    ("zero.*", None),
    ("a.b.c", "deep"),
    ('"a.b"', "dotted"),
    ('a."*"', "star"),
    ("one.*.id", "1"),
    ("one.*.name", None),
    ("list.*", "only"),
    ("list.x", None),
    ("empty.*", None),
    ("nothing.*", None),
]


@pytest.mark.parametrize(("text", "value"), FOUND)
def test_what_is_found(text: str, value: Any) -> None:
    path = parse_claim_path(text)
    assert path.find(PAYLOAD) == value
    if value is None:
        with pytest.raises(Denied) as denied:
            path.require(PAYLOAD)
        assert denied.value.reason is Reason.CLAIM_MISSING
        assert text in denied.value.detail
    else:
        assert path.require(PAYLOAD) == value


@pytest.mark.parametrize("text", ["two.*.id", "odd.*.id", "lists.*", "two.*"])
def test_several_members_are_ambiguous(text: str) -> None:
    """Also where one of them alone has what is looked for: an attacker may add the other."""
    with pytest.raises(Denied) as denied:
        parse_claim_path(text).find(PAYLOAD)
    assert denied.value.reason is Reason.CLAIM_MALFORMED
    assert f"{text!r} is ambiguous" in denied.value.detail


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
)


@given(
    st.dictionaries(st.sampled_from("abc"), JSON),
    st.lists(st.sampled_from(["a", "b", "c", "*"]), min_size=1, max_size=8),
)
def test_no_payload_gets_past_with_another_exception(
    payload: dict[str, Any], names: list[str]
) -> None:
    try:
        parse_claim_path(".".join(names)).find(payload)
    except Denied:
        return
