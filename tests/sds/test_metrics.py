"""What SDS counts, and what it logs of a refusal."""

import logging

import pytest

from sidecar.sds.metrics import SdsMetrics
from sidecar.transport.peers import Peer


def shown(metrics: SdsMetrics) -> dict[str, float]:
    return {
        sample.name.removeprefix("septem_sds_"): sample.value
        for family in metrics.families()
        for sample in family.samples
    }


def test_what_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    metrics = SdsMetrics()
    metrics.streams(7)
    metrics.streams(3)
    metrics.push(5)
    metrics.push(2)
    metrics.nack("gw-1" + "x" * 500, "'edge': KEY_VALUES_MISMATCH")
    metrics.refuse_peer(Peer(12, 1000, frozenset()))
    metrics.refuse_remote("10.0.0.7", "the peer is\nspiffe://septemcore/x, who is not on the list")
    metrics.cut_off("spiffe://septemcore/a at 10.0.0.8", "certificate revoked")
    assert shown(metrics) == {
        "streams": 3.0, "resources_pushed_total": 7.0, "nacks_total": 1.0,
        "peers_refused_total": 2.0, "peers_cut_off_total": 1.0,
    }  # fmt: skip
    said = [each.getMessage() for each in caplog.records]
    assert any("from 10.0.0.7 may not fetch secrets: the peer is" in each for each in said)
    assert not any("\n" in each for each in said), "a peer chooses its names"
    assert "spiffe://septemcore/a at 10.0.0.8 is cut off from secrets: certificate revoked" in said
    nack = next(each for each in caplog.records if "rejected a secret" in each.getMessage())
    assert nack.getMessage().endswith("'edge': KEY_VALUES_MISMATCH")
    assert len(nack.getMessage()) < 200, "an Envoy chooses the name of its node"


def test_refused_peers_are_logged_each_time_their_number_has_doubled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    metrics = SdsMetrics()
    for pid in range(1, 101):
        metrics.refuse_peer(Peer(pid, 1000, frozenset()))
    said = [record.getMessage() for record in caplog.records]
    assert [int(line.split()[1]) for line in said] == [1, 2, 4, 8, 16, 32, 64]
    assert said[-1].startswith("process 64 of user 1000 may not fetch secrets")
    assert said[-1].endswith("64 denied by now")
