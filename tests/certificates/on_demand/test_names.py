"""A name has one form, whatever a client spells; what is no host name has none."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.certificates.on_demand.names import (
    NameRefused,
    canonical_name,
    canonical_pattern,
    parents_of,
)

LABELS = 8
SAME = [
    ("as it is", "shop.example", "shop.example"),
    ("upper case", "NeW1.Example", "new1.example"),
    ("a dot at the end", "shop.example.", "shop.example"),
    ("Unicode", "bücher.example", "xn--bcher-kva.example"),
    ("Unicode, upper case", "BÜCHER.Example", "xn--bcher-kva.example"),
    ("an A-label, upper case", "XN--BCHER-KVA.example", "xn--bcher-kva.example"),
    ("sharp s, not two", "straße.example", "xn--strae-oqa.example"),
    ("an ideographic full stop", "shop。example", "shop.example"),
    ("full-width letters", "\uff53hop.example", "shop.example"),
    ("digits", "1.example", "1.example"),
    ("a hyphen within", "my-shop.example", "my-shop.example"),
    ("63 letters", f"{'a' * 63}.example", f"{'a' * 63}.example"),
    ("as deep as may be", "a.b.c.d.e.f.g.example", "a.b.c.d.e.f.g.example"),
]


@pytest.mark.parametrize(("asked", "known"), [s[1:] for s in SAME], ids=[s[0] for s in SAME])
def test_one_form(asked: str, known: str) -> None:
    assert canonical_name(asked, LABELS) == known
    assert canonical_name(known, LABELS) == known


REFUSED = [
    ("nothing", "", "name_malformed"),
    ("a dot", ".", "name_malformed"),
    ("two dots at the end", "shop.example..", "name_malformed"),
    ("an empty label", "shop..example", "name_malformed"),
    ("a dot at the beginning", ".shop.example", "name_malformed"),
    ("one label", "localhost", "name_too_shallow"),
    ("too deep", "a.b.c.d.e.f.g.h.example", "name_too_deep"),
    ("an IPv4 address", "192.0.2.1", "name_is_address"),
    ("with a dot at its end", "192.0.2.1.", "name_is_address"),
    ("a short IPv4 address", "127.1", "name_is_address"),
    ("a hexadecimal one", "127.0.0.0x1", "name_is_address"),
    ("full-width digits", "\uff11\uff12\uff17.\uff11", "name_is_address"),
    ("an IPv6 address", "2001:db8::1", "name_is_address"),
    ("in brackets", "[2001:db8::1]", "name_is_address"),
    ("a wildcard", "*.shop.example", "name_malformed"),
    ("an underscore", "_acme-challenge.shop.example", "name_malformed"),
    ("a space", "shop .example", "name_malformed"),
    ("a control character", "shop\n.example", "name_malformed"),
    ("a NUL", "shop\0.example", "name_malformed"),
    ("a slash", "shop/..example", "name_malformed"),
    ("a port", "shop.example:443", "name_malformed"),
    ("a hyphen first", "-shop.example", "name_malformed"),
    ("a hyphen last", "shop-.example", "name_malformed"),
    ("64 letters", f"{'a' * 64}.example", "name_malformed"),
    ("too long", ".".join(["a" * 60] * 5), "name_malformed"),
    ("far too long", "a" * 100_000, "name_malformed"),
    ("an A-label that decodes to nothing good", "xn--zzzzzz.example", "name_malformed"),
    ("an A-label of what it need not be", "xn--shop-.example", "name_malformed"),
    ("reserved hyphens", "ab--cd.example", "name_malformed"),
    ("a symbol", "☃.example", "name_malformed"),
    ("a right-to-left override", "shop\u202e.example", "name_malformed"),
    ("a lone surrogate", "\ud800.example", "name_malformed"),
]


@pytest.mark.parametrize(("asked", "reason"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_has_no_form(asked: str, reason: str) -> None:
    with pytest.raises(NameRefused) as refused:
        canonical_name(asked, LABELS)
    assert refused.value.reason == reason


@given(st.text(max_size=300))
def test_whatever_is_asked_the_answer_is_a_host_name_or_a_reason(asked: str) -> None:
    try:
        name = canonical_name(asked, LABELS)
    except NameRefused:
        return
    assert name.isascii()
    assert name == name.lower()
    assert len(name) <= 253
    assert 2 <= len(name.split(".")) <= LABELS
    assert canonical_name(name, LABELS) == name


@given(st.ip_addresses())
def test_no_address_is_a_name(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    with pytest.raises(NameRefused, match="name_is_address"):
        canonical_name(str(address), LABELS)


def test_parents_end_at_two_labels() -> None:
    assert parents_of("a.b.shop.example") == ["b.shop.example", "shop.example"]
    assert parents_of("shop.example") == []
    assert canonical_pattern("*.Bücher.example", LABELS) == "*.xn--bcher-kva.example"
    for wrong in ("*", "*.", "*.example", "*.*.shop.example", "a.*.example"):
        with pytest.raises(NameRefused):
            canonical_pattern(wrong, LABELS)
