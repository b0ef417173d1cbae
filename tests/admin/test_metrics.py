"""What ``listen.metrics`` counts of itself."""

import logging

import pytest

from sidecar.admin.metrics import ScraperMetrics
from tests.support.authorities import Ca
from workload.x509.material import Material

NAMES = ("peers_refused", "peers_cut_off", "certificate_not_after_timestamp_seconds")


def counted(metrics: ScraperMetrics) -> list[float]:
    found = {each.name: each.samples[0].value for each in metrics.families()}
    return [found[f"septem_metrics_{name}"] for name in NAMES]


def test_refused_cut_off_and_the_end(caplog: pytest.LogCaptureFixture) -> None:
    held: list[Material | None] = [None]
    metrics = ScraperMetrics(lambda: held[0])
    assert counted(metrics) == [0, 0, 0]
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            metrics.refuse("192.0.2.1", "no \x1b[2Jcertificate")
        metrics.cut_off("spiffe://x/\x1by at 192.0.2.1", "revoked")
    held[0] = ours = Ca("servers").material(dns_names=["localhost"])
    assert counted(metrics) == [5, 1, ours.not_after]
    assert [each.getMessage()[-17:] for each in caplog.records[:3]] == [
        f"; {number} denied by now" for number in (1, 2, 4)
    ], "not a line for each"
    assert "\x1b" not in caplog.text
