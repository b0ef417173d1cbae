"""Who we are and whom we believe, as both change."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.support.authorities import Ca
from workload.mtls import MtlsFault, NothingToShow, WorkloadIdentity
from workload.x509.anchors import read_anchors

NOW = datetime(2026, 11, 24, tzinfo=UTC)
OURS = Ca("platform", now=NOW)
ME = "spiffe://septemcore/ns/a/sa/api"
MATERIAL = OURS.material(ME, hours=2)
ANCHORS = read_anchors([OURS.chain], [], NOW.timestamp())


class Clock:
    def __init__(self) -> None:
        self.now = NOW.timestamp()

    def __call__(self) -> float:
        return self.now


def test_both_are_needed_and_both_may_change() -> None:
    clock = Clock()
    me = WorkloadIdentity(clock)
    steps: list[Callable[[], None]] = [lambda: me.show(MATERIAL), lambda: me.believe(ANCHORS)]
    for step in steps:
        with pytest.raises(NothingToShow, match="no certificate or no trust bundle"):
            me.current()
        step()
    assert me.current() == (MATERIAL, ANCHORS)
    other = OURS.material(ME)
    me.show(other)
    assert me.current() == (other, ANCHORS)
    me.show(None)
    with pytest.raises(NothingToShow):
        me.current()


def test_an_expired_certificate_is_not_shown() -> None:
    clock = Clock()
    me = WorkloadIdentity(clock)
    me.show(MATERIAL)
    me.believe(ANCHORS)
    clock.now = MATERIAL.not_after - 1
    assert me.current()[0] is MATERIAL
    clock.now = MATERIAL.not_after
    with pytest.raises(NothingToShow, match="our certificate has expired"):
        me.current()


def test_a_context_names_its_peers_or_has_the_default_ones() -> None:
    me = WorkloadIdentity(Clock(), peers=["spiffe://d/*"], spki_pins=["pin"])
    assert me.policy(None).peers == ("spiffe://d/*",)
    assert me.policy(["db.internal"]).peers == ("db.internal",)
    assert me.policy(["db.internal"]).spki_pins == ("pin",)
    with pytest.raises(MtlsFault, match="peers must list"):
        me.policy([])
