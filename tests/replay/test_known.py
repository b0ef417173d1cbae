"""How far a decision came is told by its reason; every reason has its place."""

import pytest

from sidecar.common.reasons import Grant, Reason
from sidecar.observability.audit.inputs import CUT, NO_INPUTS, RecordedInputs
from sidecar.replay.known import CredentialState, known_of
from tests.replay.lines import INPUTS, line

ROWS: list[tuple[str, RecordedInputs, CredentialState]] = [
    ("token_verified", INPUTS, CredentialState.VERIFIED),
    ("token_verified", NO_INPUTS, CredentialState.VERIFIED),
    ("role_missing", NO_INPUTS, CredentialState.VERIFIED),
    ("tenant_mismatch", NO_INPUTS, CredentialState.VERIFIED),
    ("token_revoked", NO_INPUTS, CredentialState.VERIFIED),
    ("dpop_proof_missing", NO_INPUTS, CredentialState.VERIFIED),
    ("module_unsigned", NO_INPUTS, CredentialState.VERIFIED),
    ("token_expired", INPUTS, CredentialState.VERIFIED),
    ("token_expired", NO_INPUTS, CredentialState.FAILED),
    ("audience_mismatch", NO_INPUTS, CredentialState.FAILED),
    ("signature_invalid", NO_INPUTS, CredentialState.FAILED),
    ("keys_unavailable", NO_INPUTS, CredentialState.FAILED),
    ("token_too_large", NO_INPUTS, CredentialState.FAILED),
    ("anonymous", NO_INPUTS, CredentialState.ABSENT),
    ("token_missing", NO_INPUTS, CredentialState.ABSENT),
    ("token_ambiguous", NO_INPUTS, CredentialState.AMBIGUOUS),
    ("token_scheme_unsupported", NO_INPUTS, CredentialState.OTHER_SCHEME),
    ("public", NO_INPUTS, CredentialState.UNREAD),
    ("client_verified", NO_INPUTS, CredentialState.UNREAD),
    ("client_not_allowed", NO_INPUTS, CredentialState.UNREAD),
    ("route_unknown", NO_INPUTS, CredentialState.UNREAD),
    ("path_ambiguous", NO_INPUTS, CredentialState.UNREAD),
    ("preflight", NO_INPUTS, CredentialState.UNREAD),
]


@pytest.mark.parametrize(("reason", "inputs", "credential"), ROWS)
def test_what_a_reason_tells(
    reason: str, inputs: RecordedInputs, credential: CredentialState
) -> None:
    known = known_of(line(reason=reason, inputs=inputs, tenant=""))
    assert known is not None
    assert known.credential is credential


def test_every_reason_of_a_rule_is_known() -> None:
    others = {str(Reason.INTERNAL_FAULT), str(Grant.CHALLENGE_ANSWERED)}
    for reason in {*map(str, Reason), *map(str, Grant)}:
        assert (known_of(line(reason=reason)) is None) is (reason in others), reason
    assert known_of(line(reason="of_another_version")) is None


def test_in_shadow_mode_the_other_reason_counts() -> None:
    known = known_of(line(reason="shadow", shadow_reason="token_missing", inputs=NO_INPUTS))
    assert known is not None
    assert known.credential is CredentialState.ABSENT


def test_a_limited_request_had_a_token_if_its_tenant_is_known() -> None:
    limited = line(reason="rate_limited", inputs=NO_INPUTS)
    nobodys = line(reason="rate_limited", inputs=NO_INPUTS, tenant="")
    found = [known_of(each) for each in (limited, nobodys)]
    assert [each and each.credential for each in found] == [
        CredentialState.VERIFIED,
        CredentialState.UNREAD,
    ]


def test_inputs_that_were_cut_are_none() -> None:
    known = known_of(line(inputs=CUT))
    assert known is not None
    assert (known.inputs, known.is_cut, known.has_claims) == (None, True, False)
