"""How long an operator waits before a certificate is ordered by hand once more."""

import pytest

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.managed.certificate import (
    HAND_PAUSE_SECONDS,
    MAX_ORDER_PAUSE_SECONDS,
    ManagedCertificate,
)
from tests.support.managed_world import Nobody
from workload.x509.material import Material

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


WANTED_AT = [
    ("nothing was ordered yet", [], 0.0, 1000.0),
    ("the floor", [1000.0], 0.0, 1010.0),
    ("what is due later than the floor", [1000.0], 5000.0, 5000.0),
    ("two in a row: hours", [900.0, 1000.0], 0.0, 1000.0 + MAX_ORDER_PAUSE_SECONDS),
    ("two as the schedule has them", [-1e6, 1000.0], 0.0, 1010.0),
    ("a clock that was set back", [9e5, 1e6], 0.0, 1000.0 + 10.0),
]


@pytest.mark.parametrize(
    ("obtained", "wanted", "at"), [w[1:] for w in WANTED_AT], ids=[w[0] for w in WANTED_AT]
)
def test_every_automatic_order_has_a_floor(obtained: list[float], wanted: float, at: float) -> None:
    managed = ManagedCertificate(Order("edge", ("a.example",)), Nobody())
    material = Material(b"", b"", ("a.example",), "1", 0.0, 90 * 86_400.0)
    for moment in obtained:
        managed.obtained(material, moment)
    assert managed.not_before(wanted, 1000.0) == at


def test_the_floor_is_short_where_little_is_left_or_nothing_is_served() -> None:
    managed = ManagedCertificate(Order("edge", ("a.example",)), Nobody())
    material = Material(b"", b"", ("a.example",), "1", 0.0, 90 * 86_400.0)
    now = material.not_after - 1000.0
    for moment in (now - 1, now):
        managed.obtained(material, moment)
    assert managed.not_before(0.0, now) == now + 100.0
    managed.revoked = True
    assert managed.not_before(0.0, now) == now + 60.0
