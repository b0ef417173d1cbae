"""What decides is too old: keys and revocations alike, where ``when_degraded`` says ``refuse``."""

import msgspec
import pytest

from sidecar.common.reasons import Reason
from sidecar.keys.lifecycle import KeyState
from sidecar.runtime.check import give_keys, give_revocations
from sidecar.tokens.revocation import NOTHING_REVOKED
from tests.authz.checks import check_request
from tests.authz.conftest import Bench

ROWS = [
    ("fresh", KeyState.ACTIVE, KeyState.ACTIVE, True),
    ("keys", KeyState.DEGRADED, KeyState.ACTIVE, False),
    ("revocations", KeyState.ACTIVE, KeyState.DEGRADED, False),
    ("both", KeyState.DEGRADED, KeyState.DEGRADED, False),
    ("in an outage", KeyState.OUTAGE, KeyState.OUTAGE, True),
]


@pytest.mark.parametrize("refuse", [True, False])
@pytest.mark.parametrize(
    ("keys", "revocations", "passes"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_rows(
    bench: Bench, keys: KeyState, revocations: KeyState, passes: bool, refuse: bool
) -> None:
    service = bench.service
    service.snapshot = msgspec.structs.replace(service.snapshot, refuse_degraded=refuse)
    give_keys(service, service.snapshot.ring, keys)
    give_revocations(service, NOTHING_REVOKED, revocations)
    token = bench.issuer.mint().decode()
    bench.handle(check_request(headers={"authorization": f"Bearer {token}"}))
    refused = [each.decision.outcome for each in bench.outcomes]
    assert refused == ([] if passes or not refuse else [Reason.KEYS_DEGRADED])
    assert len(bench.allowed_checks) == 1 - len(refused)
