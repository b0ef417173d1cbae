"""How long an operator waits before a certificate is ordered by hand once more."""

import pytest

from sidecar.certificates.issuers.base import Order
from sidecar.certificates.managed.certificate import (
    HAND_PAUSE_SECONDS,
    MAX_ORDER_PAUSE_SECONDS,
    HandOrder,
    ManagedCertificate,
)
from sidecar.common.errors import Fault
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


NONE, OPEN, JOINED, LAST = HandOrder
BY_HAND = [
    ("the first", {"try_at": 5000.0}, 0.0, OPEN),
    (
        "a second while it is open",
        {"try_at": 1009.0, "by_hand": OPEN, "by_hand_at": 990.0}, 0.0, OPEN,
    ),
    ("within a minute of one that has ended", {"try_at": 5000.0, "by_hand_at": 990.0}, 50.0, NONE),
    ("while another is under way", {"try_at": 999.0, "running": True}, 0.0, JOINED),
    ("while the CA is asked when to renew", {"try_at": 5000.0, "running": True}, 0.0, OPEN),
    (
        "while another is under way, within a minute",
        {"try_at": 999.0, "running": True, "by_hand_at": 990.0}, 0.0, NONE,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "pause", "after"), [b[1:] for b in BY_HAND], ids=[b[0] for b in BY_HAND]
)
def test_an_order_by_hand(state: dict[str, object], pause: float, after: HandOrder) -> None:
    managed = ManagedCertificate(Order("edge", ("a.example",)), Nobody())
    for name, value in state.items():
        setattr(managed, name, value)
    assert (managed.order_by_hand(1000.0), managed.by_hand) == (pause, after)
    if after is OPEN and state.get("by_hand") is not OPEN:
        assert (managed.try_at, managed.by_hand_at) == (1000.0, 1000.0), "it is due at once"


def fault(*, is_outage: bool = False, told: float | None = None) -> Fault:
    made = Fault("no")
    made.is_outage, made.retry_after_seconds = is_outage, told
    return made


FAILED = [
    ("nobody waits", NONE, fault(is_outage=True), 640.0, NONE),
    ("nobody answered", OPEN, fault(is_outage=True), 10.0, OPEN),
    ("nobody answered, and asks for a moment", OPEN, fault(is_outage=True, told=3.0), 10.0, OPEN),
    ("the fleet waits a moment", OPEN, fault(told=4.5), 5.5, LAST),
    ("the fleet waits for another moment", LAST, fault(told=0.1), 640.0, NONE),
    ("nobody answered after that moment", LAST, fault(is_outage=True), 10.0, LAST),
    ("it was refused after that moment", LAST, fault(), 640.0, NONE),
    ("the CA asks for more", OPEN, fault(told=11.0), 640.0, NONE),
    ("nobody answered, and asks for more", OPEN, fault(is_outage=True, told=11.0), 640.0, NONE),
    ("it was refused", OPEN, fault(), 640.0, NONE),
    ("a defect of the sidecar", OPEN, None, 640.0, NONE),
    ("the one before was refused", JOINED, fault(), 0.0, OPEN),
    ("the one before was not answered", JOINED, fault(is_outage=True), 10.0, OPEN),
    ("the fleet waits a moment after the one before", JOINED, fault(told=4.5), 5.5, LAST),
    ("the CA asks the one before for more", JOINED, fault(told=3600.0), 640.0, NONE),
]


@pytest.mark.parametrize(
    ("by_hand", "why", "pause", "after"), [f[1:] for f in FAILED], ids=[f[0] for f in FAILED]
)
def test_what_fails_while_an_operator_waits(
    by_hand: HandOrder, why: Fault | None, pause: float, after: HandOrder
) -> None:
    managed = ManagedCertificate(Order("edge", ("a.example",)), Nobody())
    managed.by_hand = by_hand
    assert (managed.pause_after(why, 640.0), managed.by_hand) == (pause, after)


def test_a_first_pause_is_not_made_longer_for_an_operator() -> None:
    managed = ManagedCertificate(Order("edge", ("a.example",)), Nobody())
    managed.by_hand = OPEN
    assert managed.pause_after(fault(is_outage=True), 8.1) == 8.1


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
