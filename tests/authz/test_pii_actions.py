"""What a Check does about personal data in a token: refuse it, warn, or nothing."""

from typing import Any

import msgspec
import pytest

from sidecar.common.reasons import Grant, Reason
from sidecar.tokens.pii import PiiAction
from tests.authz.conftest import Bench

ACTIONS = [
    (("deny", "warn"), {"email": "a@b.example"}, Reason.PII_IN_TOKEN, 0),
    (("deny", "warn"), {"c": "a@b.example"}, Grant.TOKEN_VERIFIED, 1),
    (("warn", "deny"), {"c": "a@b.example"}, Reason.PII_IN_TOKEN, 0),
    (("warn", "warn"), {"email": "x", "c": "10.0.0.1"}, Grant.TOKEN_VERIFIED, 2),
    (("off", "warn"), {"email": "x"}, Grant.TOKEN_VERIFIED, 0),
    (("off", "off"), {"email": "a@b.example", "c": "10.0.0.1"}, Grant.TOKEN_VERIFIED, 0),
]


@pytest.mark.parametrize(("actions", "claims", "outcome", "warnings"), ACTIONS)
def test_what_a_finding_does(
    bench: Bench,
    actions: tuple[str, str],
    claims: dict[str, Any],
    outcome: Reason | Grant,
    warnings: int,
) -> None:
    bench.service.snapshot = msgspec.structs.replace(
        bench.service.snapshot, pii_names=PiiAction(actions[0]), pii_values=PiiAction(actions[1])
    )
    bench.ask(bench.issuer.mint(**claims))
    if outcome is Grant.TOKEN_VERIFIED:
        _, template, cached_token, *_ = bench.allowed_checks[-1]
        assert cached_token is not None
        came, found, said = template.outcome, cached_token.warnings, ""
    else:
        decision = bench.last.decision
        came, found, said = decision.outcome, decision.warnings, decision.detail
    assert came is outcome
    assert len(found) == warnings
    said += "".join(found)
    assert "b.example" not in said
    assert "10.0.0.1" not in said
