"""What the operator reads of Envoys: whether they are there, and what they refuse."""

from sidecar.observability.panel import Ask, At, Mark
from sidecar.sds.metrics import SdsMetrics
from sidecar.sds.panel import RECENT_SECONDS
from sidecar.transport.peers import Peer


def test_nobody_is_connected() -> None:
    panel = SdsMetrics(lambda: 5.0).panel(Ask(9.0))
    assert (panel.summary, panel.findings) == ("No Envoy is connected.", ())


def test_streams_and_secrets() -> None:
    metrics = SdsMetrics(lambda: 5.0)
    metrics.streams(2)
    metrics.push(7)
    panel = metrics.panel(Ask(9.0))
    assert panel.summary == "2 streams open."
    assert dict(panel.facts) == {"streams": Mark("2"), "secrets sent": 7}


def test_a_secret_that_envoy_refuses_is_said_for_a_while_with_its_words() -> None:
    times = iter([100.0, 130.0])
    metrics = SdsMetrics(lambda: next(times))
    metrics.nack("edge-1", "'edge': Failed to load certificate")
    metrics.nack("edge-1", "'edge': KEY_VALUES_MISMATCH")
    panel = metrics.panel(Ask(140.0))
    (finding,) = panel.findings
    assert (finding.part, finding.since) == ("sds-refused", 100.0)
    for words in ("edge-1", "2 times", "KEY_VALUES_MISMATCH"):
        assert words in finding.wrong
    assert panel.tables[0].rows[0][:2] == (At(130.0), "edge-1")
    assert metrics.panel(Ask(130.0 + RECENT_SECONDS + 1)).findings == ()


def test_who_may_not_have_secrets() -> None:
    metrics = SdsMetrics(lambda: 100.0)
    metrics.refuse_peer(Peer(7, 1000, frozenset()))
    metrics.refuse_remote("192.0.2.1", "no certificate")
    metrics.cut_off("192.0.2.2", "it is revoked")
    (finding,) = metrics.panel(Ask(110.0)).findings
    assert (finding.part, finding.since) == ("sds-peers", 100.0)
    assert "3 connections" in finding.wrong
    assert "192.0.2.2: it is revoked" in finding.wrong
    assert "peer_uids" in finding.do
