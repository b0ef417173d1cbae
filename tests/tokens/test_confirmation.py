"""What a token's ``cnf`` asks for (RFC 7800 §3.1); what is not known is refused."""

from typing import Any

import pytest

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.confirmation import Confirmation, read_confirmation

ONE = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
TWO = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"[:-1] + "0"
JWK = {"kty": "EC", "crv": "P-256", "x": "a", "y": "b"}
MALFORMED, BOUND = Reason.CLAIM_MALFORMED, Reason.TOKEN_BOUND


def read(payload: dict[str, Any]) -> Confirmation | Reason | None:
    try:
        return read_confirmation(payload)
    except Denied as denied:
        return denied.reason


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ({}, None),
        ({"sub": "x"}, None),
        ({"cnf": {"jkt": ONE}}, Confirmation(jkt=ONE)),
        ({"cnf": {"x5t#S256": TWO}}, Confirmation(certificate=TWO)),
        ({"cnf": {"x5t#S256": TWO, "jkt": ONE}}, Confirmation(ONE, TWO)),
        ({"cnf": None}, MALFORMED),
        ({"cnf": {}}, MALFORMED),
        ({"cnf": ONE}, MALFORMED),
        ({"cnf": [{"jkt": ONE}]}, MALFORMED),
        ({"cnf": {"jkt": None}}, MALFORMED),
        ({"cnf": {"jkt": 1}}, MALFORMED),
        ({"cnf": {"jkt": ""}}, MALFORMED),
        ({"cnf": {"jkt": ONE[:-1]}}, MALFORMED),
        ({"cnf": {"jkt": ONE + "="}}, MALFORMED),
        ({"cnf": {"jkt": ONE[:-1] + "J"}}, MALFORMED),
        ({"cnf": {"jkt": ONE[:-1] + "é"}}, MALFORMED),
        ({"cnf": {"jkt": ONE[:-1] + "/"}}, MALFORMED),
        ({"cnf": {"jkt": ONE, "x5t#S256": ""}}, MALFORMED),
        ({"cnf": {"jwk": JWK}}, BOUND),
        ({"cnf": {"kid": "x"}}, BOUND),
        ({"cnf": {"jkt": ONE, "kid": "x"}}, BOUND),
        ({"cnf": {"JKT": ONE}}, BOUND),
        ({"cnf": {"x5t": "x"}}, BOUND),
    ],
)
def test_a_confirmation(payload: dict[str, Any], found: object) -> None:
    assert read(payload) == found
