"""What of a decision is a permission, and when a snapshot is too old to decide with."""

import pytest
from msgspec.structs import replace

from sidecar.authz.decision import Decision
from sidecar.common.errors import Denied
from sidecar.common.reasons import Grant, Reason
from sidecar.keys.lifecycle import KeyState
from sidecar.module_signing.install import Provenance
from tests.authz.world import SNAPSHOT

ALLOWED: list[tuple[str, Decision, bool]] = [
    ("a ground", Decision(Grant.PUBLIC), True),
    ("a reason", Decision(Reason.ROUTE_UNKNOWN), False),
    ("a bundle to be judged", Decision(Grant.TOKEN_VERIFIED, module="signed"), False),
    (
        "a bundle that was",
        Decision(Grant.TOKEN_VERIFIED, module="signed", provenance=Provenance("0", None)),
        True,
    ),
    (
        "one that was, of a request that was refused",
        Decision(Reason.TOKEN_REVOKED, module="signed", provenance=Provenance("0", None)),
        False,
    ),
]


@pytest.mark.parametrize(
    ("decision", "allowed"), [row[1:] for row in ALLOWED], ids=[row[0] for row in ALLOWED]
)
def test_what_is_a_permission(decision: Decision, allowed: bool) -> None:
    assert decision.allowed is allowed


AGES = [
    ("active", KeyState.ACTIVE, False, ""),
    ("never read", KeyState.INIT, False, ""),
    ("an outage within the maximum age", KeyState.OUTAGE, False, ""),
    ("old keys", KeyState.DEGRADED, False, "keys.max_age_seconds"),
    ("old revocations", KeyState.ACTIVE, True, "keys.revocations.max_age_seconds"),
    ("both: the keys are named", KeyState.DEGRADED, True, "keys.max_age_seconds"),
]


@pytest.mark.parametrize(
    ("state", "old_revocations", "setting"), [row[1:] for row in AGES], ids=[row[0] for row in AGES]
)
def test_ages(state: KeyState, old_revocations: bool, setting: str) -> None:
    snapshot = replace(SNAPSHOT, key_state=state, revocations_degraded=old_revocations)
    if not setting:
        snapshot.check_age()
        return
    with pytest.raises(Denied) as denied:
        snapshot.check_age()
    assert denied.value.reason is Reason.KEYS_DEGRADED
    assert denied.value.detail.endswith(f"older than {setting}")
