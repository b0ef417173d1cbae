"""A recorded token under other rules: what is asked of the verifier, and what stays open."""

from typing import Any

import msgspec
import pytest

from sidecar.common.errors import Denied
from sidecar.observability.audit.inputs import RecordedInputs
from sidecar.replay.decider import recorded_snapshot
from sidecar.replay.tokens import RecordedTokens, claims_of, unknown_token
from sidecar.tokens.confirmation import Confirmation
from tests.replay.changes import CHANGES, Change, put
from tests.replay.lines import INPUTS
from tests.replay.traffic import IDP, configured
from tests.support.minting import NOW, TENANT

NOTHING = put()


def judged(change: Change = NOTHING, kid: str = "main", **changes: Any) -> tuple[str, list[str]]:
    """Return why a token is denied, or nothing, and what stays open."""
    config, left_open = configured(change), list[str]()
    tokens = RecordedTokens(config, recorded_snapshot(config))
    inputs = msgspec.structs.replace(INPUTS, **changes)
    try:
        claims = claims_of(inputs, TENANT, "user-42")
        verified = tokens.verify(inputs, kid, claims, NOW, left_open.append)
    except Denied as denied:
        return str(denied.reason), left_open
    assert verified.claims == claims
    assert (verified.kid, verified.size) == (kid, inputs.size)
    return "", left_open


DENIED: dict[str, tuple[Change, dict[str, Any], str]] = {
    "a key that is denied": (CHANGES["the main key denied"], {}, "key_unknown"),
    "an issuer that is gone": (CHANGES["the first issuer gone"], {}, "key_unknown"),
    "an algorithm that nobody has": (
        CHANGES["an algorithm less"], {"alg": "ES384"}, "algorithm_not_allowed",
    ),
    "an algorithm of another issuer": (put(), {"iss": IDP, "alg": "ES384"}, "key_unknown"),
    "a type": (CHANGES["at+jwt alone"], {}, "token_type_not_allowed"),
    "a parameter": (put(), {"params": ("x5c",)}, "header_parameter_not_allowed"),
    "an audience": (put(), {"aud": ("https://c.example",)}, "audience_mismatch"),
    "a life": (CHANGES["a shorter life"], {}, "token_lifetime_too_long"),
    "an end": (CHANGES["no leeway"], {"exp": NOW - 10}, "token_expired"),
    "a beginning": (CHANGES["no leeway"], {"nbf": NOW + 10}, "token_not_yet_valid"),
    "an algorithm that does not exist": (put(), {"alg": "none"}, "algorithm_not_allowed"),
}  # fmt: skip


@pytest.mark.parametrize("what", DENIED)
def test_what_is_not_allowed_is_denied(what: str) -> None:
    change, changes, reason = DENIED[what]
    assert judged(change, **changes)[0] == reason


def test_what_is_allowed_passes_with_nothing_open() -> None:
    assert judged() == ("", [])
    assert judged(params=("x5t",), typ="at+jwt", alg="ES384") == ("", [])


OPEN: dict[str, tuple[Change, dict[str, Any], str]] = {
    "read elsewhere": (put(), {"reading": "0123456789ab"}, "other places"),
    "a claim that must be there": (put(), {"required": ("iat", "jti", "sub")}, "nbf"),
    "a time that may be made up": (
        put(),
        {"required": ("jti", "nbf", "sub"), "exp": NOW + 1000},
        "no iat",
    ),
}


@pytest.mark.parametrize("what", OPEN)
def test_what_is_not_recorded_is_open(what: str) -> None:
    change, changes, said = OPEN[what]
    reason, left_open = judged(change, **changes)
    assert reason == ""
    assert any(said in each for each in left_open)


def test_a_bound_token_is_bound_as_it_was() -> None:
    bound = msgspec.structs.replace(INPUTS, cnf=("certificate", "dpop"))
    confirmation = claims_of(bound, TENANT, "").confirmation
    assert isinstance(confirmation, Confirmation)
    assert all(confirmation)
    assert claims_of(INPUTS, TENANT, "").confirmation is None


def test_a_token_of_which_nothing_is_known_can_verify_nothing() -> None:
    token = unknown_token("", "main")
    assert token.claims.roles == ()
    with pytest.raises(Denied):
        token.key.algorithm.verify(token.key.public, b"", b"")


PII: dict[str, tuple[str, tuple[str, ...], str, bool]] = {
    "denied by its name": ("", ("claim 'email' holds email (by its name)",), "pii_in_token", False),
    "allowed by its value": ("", ("claim 'nick' holds email (by its value)",), "", False),
    "denied by its value": (
        "{by_value: deny}", ("claim 'nick' holds email (by its value)",), "pii_in_token", False,
    ),
    "no finding": ("{by_value: deny}", ("something else",), "", True),
    "as many as a line has": ("", ("claim 'n' holds ip (by its value)",) * 8, "", True),
    "as many, where nothing is denied": (
        "{by_name: off, by_value: off}", ("claim 'n' holds ip (by its value)",) * 8, "", False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", PII)
def test_personal_data_is_judged_by_the_rules_of_now(what: str) -> None:
    settings, findings, reason, is_open = PII[what]
    change = put(("tokens:\n", f"tokens:\n  pii: {settings}\n")) if settings else put()
    config, left_open = configured(change), list[str]()
    tokens = RecordedTokens(config, recorded_snapshot(config))
    try:
        tokens.check_pii(RecordedInputs(iss=INPUTS.iss), findings, left_open.append)
        found = ""
    except Denied as denied:
        found = str(denied.reason)
    assert (found, bool(left_open)) == (reason, is_open)
