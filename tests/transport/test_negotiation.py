"""What `Accept` and `Accept-Encoding` say (RFC 9110 §12.4, §12.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.transport.negotiation import read_wishes, weight_of

ROWS = [
    ("nothing", "", "gzip", "", 0.0),
    ("one", "gzip", "gzip", "", 1.0),
    ("in capitals", "GZip", "gzip", "", 1.0),
    ("another", "br", "gzip", "", 0.0),
    ("with white space", " br , gzip ; q=0.5 ", "gzip", "", 0.5),
    ("refused", "gzip;q=0", "gzip", "", 0.0),
    ("refused, longer", "gzip;q=0.000", "gzip", "", 0.0),
    ("part of a name", "x-gzip-2", "gzip", "", 0.0),
    ("the highest of two", "gzip;q=0.2, gzip;q=0.7", "gzip", "", 0.7),
    ("a weight that is none", "gzip;q=abc", "gzip", "", 0.0),
    ("a weight over one", "gzip;q=1.5", "gzip", "", 0.0),
    ("a weight that is not finite", "gzip;q=nan", "gzip", "", 0.0),
    ("with a parameter", "a/b;version=1.0.0;q=0.3", "a/b", "version=1.0.0", 0.3),
    ("quoted", 'a/b; version="1.0.0"', "a/b", "version=1.0.0", 1.0),
    ("another parameter", "a/b;version=0.0.1", "a/b", "version=1.0.0", 0.0),
    ("without the parameter", "a/b", "a/b", "version=1.0.0", 0.0),
    ("more than are read", "x," * 40 + "gzip", "gzip", "", 0.0),
]


@pytest.mark.parametrize(
    ("header", "name", "parameter", "weight"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS]
)
def test_the_weight_of_a_wish(header: str, name: str, parameter: str, weight: float) -> None:
    assert weight_of(read_wishes(header), name, parameter) == weight


@given(st.text())
def test_nothing_raises_and_a_weight_is_a_weight(header: str) -> None:
    assert all(0 <= wish.weight <= 1 for wish in read_wishes(header))
