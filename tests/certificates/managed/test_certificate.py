"""How long an operator waits before a certificate is ordered by hand once more."""

import pytest

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.managed.certificate import HAND_PAUSE_SECONDS, ManagedCertificate
from tests.support.managed_world import Nobody

PAUSES = [
    ("never before", None, 0.0),
    ("at the same moment", 1000.0, HAND_PAUSE_SECONDS),
    ("a moment ago", 999.0, HAND_PAUSE_SECONDS - 1),
    ("just over", 1000.0 - HAND_PAUSE_SECONDS, 0.0),
    ("long ago", 0.0, 0.0),
    ("by a clock that was set back since", 5000.0, 0.0),
]


@pytest.mark.parametrize(("at", "pause"), [p[1:] for p in PAUSES], ids=[p[0] for p in PAUSES])
def test_the_pause(at: float | None, pause: float) -> None:
    managed = ManagedCertificate(Order("edge", ("a.example",)), Nobody())
    if at is not None:
        managed.by_hand_at = at
    assert managed.pause_seconds(managed.by_hand_at, 1000.0) == pause
