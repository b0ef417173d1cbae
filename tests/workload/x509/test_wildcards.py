"""Which names a certificate covers (RFC 6125 §6.4.3)."""

import pytest

from workload.x509.wildcards import covers, wildcard_of

COVERS = [
    ("the name itself", "a.shop.example", "a.shop.example", True),
    ("another", "b.shop.example", "a.shop.example", False),
    ("the wildcard above", "*.shop.example", "a.shop.example", True),
    ("not two labels", "*.shop.example", "a.b.shop.example", False),
    ("not what it stands below", "*.shop.example", "shop.example", False),
    ("the wildcard itself", "*.shop.example", "*.shop.example", True),
    ("not a wildcard of a wildcard's kind", "*.*.example", "a.b.example", False),
    ("a single label", "localhost", "localhost", True),
    ("nothing stands above a single label", "*.", "localhost", False),
    ("no part of a label", "a*.shop.example", "ab.shop.example", False),
]


@pytest.mark.parametrize(
    ("pattern", "name", "covered"), [each[1:] for each in COVERS], ids=[each[0] for each in COVERS]
)
def test_covers(pattern: str, name: str, covered: bool) -> None:
    assert covers(pattern, name) is covered


def test_the_wildcard_of_a_name() -> None:
    assert wildcard_of("a.shop.example") == "*.shop.example"
