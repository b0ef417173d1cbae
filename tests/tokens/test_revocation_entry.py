"""The format of a revocation entry: what is read, and that nothing of it is ignored."""

from typing import Any

import msgspec
import pytest

from sidecar.tokens.revocation_entry import (
    RevocationEntry,
    RevocationFault,
    RevokedSubject,
    RevokedTenant,
    RevokedToken,
    read_entry,
    read_revocations,
)
from tests.support.minting import NOW
from tests.tokens.test_revocation import tenant

TOKEN = RevokedToken("i", "j", 5.0)
READ: list[tuple[str, str, RevocationEntry]] = [
    ("nothing", "{}", RevocationEntry()),
    (
        "every field",
        (
            '{"kids": ["k"], "tokens": [{"iss": "i", "jti": "j", "exp": 5}],'
            ' "subjects": [{"iss": "i", "sub": "s", "issued_before": 6}],'
            ' "tenants": [{"tenant": "t", "issued_before": 7.5}]}'
        ),
        RevocationEntry(
            ("k",), (TOKEN,), (RevokedSubject("i", "s", 6.0),), (RevokedTenant("t", 7.5),)
        ),
    ),
    ("a line", '{"tokens": "i j 5"}', RevocationEntry(tokens=(TOKEN,))),
    (
        "a line of the entry's issuer",
        '{"iss": "i", "tokens": "j 5"}',
        RevocationEntry(tokens=(TOKEN,)),
    ),
    (
        "a line's own issuer before the entry's",
        '{"iss": "other", "tokens": "i j 5\\nk 6"}',
        RevocationEntry(tokens=(TOKEN, RevokedToken("other", "k", 6.0))),
    ),
    (
        "blank lines, tabs, CRLF",
        '{"tokens": "\\r\\n \\ti  j\\t5\\r\\n\\n"}',
        RevocationEntry(tokens=(TOKEN,)),
    ),
    ("no line", '{"tokens": ""}', RevocationEntry()),
    ("zeros before a time", '{"tokens": "i j 000000000000005"}', RevocationEntry(tokens=(TOKEN,))),
    (
        "the last time there is",
        '{"tokens": "i j 253402300799"}',
        RevocationEntry(tokens=(RevokedToken("i", "j", 253402300799.0),)),
    ),
    (
        "the longest id",
        '{"tokens": "i %s 5"}' % ("j" * 1024),
        RevocationEntry(tokens=(RevokedToken("i", "j" * 1024, 5.0),)),
    ),
]


@pytest.mark.parametrize(("text", "entry"), [r[1:] for r in READ], ids=[r[0] for r in READ])
def test_what_is_read(text: str, entry: RevocationEntry) -> None:
    assert read_entry(text.encode()) == entry
    assert read_revocations(msgspec.json.decode(text)) == entry


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("unknown field", {"toknes": []}, "toknes"),
    ("no list", {"tokens": {}}, "tokens"),
    ("no jti", {"tokens": [{"iss": "i", "exp": 1}]}, "jti"),
    ("a text for a time", {"tenants": [{"tenant": "t", "issued_before": "now"}]}, "issued_before"),
    ("milliseconds", {"tenants": [tenant(NOW * 1000)]}, "issued_before"),
    ("a misspelt field", {"tenants": [{"tenant": "t", "issuedBefore": 1}]}, "issuedBefore"),
    ("too many", {"kids": [str(n) for n in range(1025)]}, "kids"),
    ("too many marks", {"tenants": [tenant(NOW)] * 100_001}, "tenants: more than 100000"),
    ("too many lines", {"tokens": "\n" * 200_000}, "tokens: more than 200000"),
    ("the second of a list", {"tenants": [tenant(NOW), {}]}, r"tenants\[1\]"),
    ("an empty name", {"tenants": [tenant(NOW, "")]}, "length"),
    ("a line too long", {"tokens": f"i {'j' * 1025} 5"}, "line 1: more than 1024"),
    ("a line in milliseconds", {"tokens": f"i j {NOW * 1000:.0f}"}, "line 1: exp"),
    ("a line with a fraction", {"tokens": "i j 5.5"}, "line 1: exp"),
    ("a line with a sign", {"tokens": "i j -5"}, "line 1: exp"),
    ("a line of four words", {"tokens": "i j 5 6"}, "line 1: is neither"),
    ("a line of one word", {"iss": "i", "tokens": "j"}, "line 1: is neither"),
    ("a time of sixteen digits", {"tokens": f"i j {'0' * 15}5"}, "line 1: exp"),
    ("a time after the year 9999", {"tokens": "i j 253402300800"}, "line 1: exp"),
    ("digits of another script", {"tokens": "i j \u0665"}, "line 1: exp"),
    ("a second line without issuer", {"tokens": "i j 5\nj 5"}, "line 2: is neither"),
]


@pytest.mark.parametrize(("entry", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_list_that_is_not_understood(entry: dict[str, Any], said: str) -> None:
    """Half a kill switch is worse than an error: nothing is ignored."""
    with pytest.raises(RevocationFault, match=said):
        read_revocations(entry)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{",
        b'{"tokens": "\xff"}',
        b'{"tokens": 5}',
        b'{"kids": [5]}',
        b'{"tokens": [5]}',
    ],
)
def test_bytes_that_are_no_entry(raw: bytes) -> None:
    with pytest.raises(RevocationFault):
        read_entry(raw)
