"""The clock's rule, at its edges, and that every path to a decision has the same edges."""

import pytest

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.claims import Claims, check_claims, validity
from sidecar.tokens.policy import IssuerPolicy
from sidecar.tokens.validity import validity_of
from tests.support.minting import NOW

LEEWAY = 30.0
OPEN = IssuerPolicy(leeway_seconds=LEEWAY, max_lifetime_seconds=10_000.0)

EDGES = [
    # what is asked, iat, nbf, exp, now: all beside NOW; the reason, if it is refused
    ("the first moment by iat", 0, 0, 900, -30, None),
    ("before it", 0, 0, 900, -30.001, Reason.TOKEN_NOT_YET_VALID),
    ("the first moment by a later nbf", 0, 60, 900, 30, None),
    ("before a later nbf", 0, 60, 900, 29.999, Reason.TOKEN_NOT_YET_VALID),
    ("the first moment by an iat after nbf", 60, 0, 900, 30, None),
    ("before an iat after nbf", 60, 0, 900, 29.999, Reason.TOKEN_ISSUED_IN_FUTURE),
    ("before both, iat the later", 60, 40, 900, 0, Reason.TOKEN_NOT_YET_VALID),
    ("the last moment", 0, 0, 900, 929.999, None),
    ("the end itself", 0, 0, 900, 930, Reason.TOKEN_EXPIRED),
    ("after it", 0, 0, 900, 931, Reason.TOKEN_EXPIRED),
    ("expired before it began", 2000, 2000, 900, 931, Reason.TOKEN_EXPIRED),
]


def _claims(iat: float, nbf: float, exp: float) -> Claims:
    return Claims("i", "s", ("a",), "t", "", NOW + exp, NOW + iat, NOW + nbf)


@pytest.mark.parametrize(
    ("iat", "nbf", "exp", "now", "reason"),
    [each[1:] for each in EDGES],
    ids=[each[0] for each in EDGES],
)
def test_the_edges_of_a_tokens_time(
    iat: float, nbf: float, exp: float, now: float, reason: Reason | None
) -> None:
    claims = _claims(iat, nbf, exp)
    assert validity(claims, OPEN).holds_at(NOW + now) is (reason is None)
    if reason is None:
        check_claims(claims, OPEN, NOW + now)
    else:
        with pytest.raises(Denied) as caught:
            check_claims(claims, OPEN, NOW + now)
        assert caught.value.reason is reason


def test_what_is_over_never_holds_again() -> None:
    span = validity_of(0.0, 0.0, 100.0, 5.0)
    assert [span.is_over_at(now) for now in (-10.0, 104.9, 105.0, 1e9)] == [
        False,
        False,
        True,
        True,
    ]
