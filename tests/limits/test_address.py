"""How an address is counted: RFC 4291, RFC 6177."""

import pytest

from sidecar.limits.address import address_key


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("2001:db8::1", "2001:db8:0:0:ffff::2", True),
        ("2001:db8::1", "2001:0DB8::FFFF", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("::ffff:cb00:7107", "203.0.113.7", True),
        ("", "", True),
        ("", "203.0.113.7", False),
        ("", "::", False),
        ("::", "::1", True),
        ("not:an:address", "not:an:address", True),
        ("not:an:address", "not:an:addresS", False),
    ],
)
def test_addresses_are_counted_as_one_or_apart(one: str, other: str, alike: bool) -> None:
    assert (address_key(one) == address_key(other)) is alike
