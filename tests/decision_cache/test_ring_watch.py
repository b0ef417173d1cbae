"""Rings that stay full are said once, and so is their end."""

from sidecar.decision_cache.ring_watch import RingWatch


def test_only_what_lasts_is_said_and_once() -> None:
    watch = RingWatch()
    fills = [(0.95, 0), (0.1, 4), (0.95, 5), (0.95, 9.9), (0.95, 10), (1.0, 11), (0.5, 12), (0, 13)]
    said = [alert.state if (alert := watch.look(*each)) else "" for each in fills]
    assert said == ["", "", "", "", "rings_full", "", "ok", ""]
