"""The form of a method (RFC 9110 §9.1)."""

import pytest

from sidecar.authz.method import canonical_method, is_method
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason

ROWS: list[tuple[str, bytes, bool]] = [
    ("one letter", b"A", True),
    ("the longest", b"A" * 32, True),
    ("one more", b"A" * 33, False),
    ("none: Envoy does not send it", b"", False),
    ("small letters are another method", b"get", False),
    ("a digit", b"GET2", False),
    ("a hyphen, as in M-SEARCH", b"M-SEARCH", False),
    ("a line after it", b"GET\n", False),
    ("a capital beyond ASCII", "\u00c4".encode(), False),
]


@pytest.mark.parametrize(("raw", "good"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_rows(raw: bytes, good: bool) -> None:
    assert is_method(raw) is good
    if good:
        assert canonical_method(raw) == raw.decode()
        return
    with pytest.raises(Denied) as denied:
        canonical_method(raw)
    assert denied.value.reason is Reason.REQUEST_MALFORMED
    assert ("allowed_headers" in denied.value.detail) is (raw == b""), "what to do about it"
