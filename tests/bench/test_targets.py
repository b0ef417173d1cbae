"""The targets, and that one which is not met is never hidden."""

import pytest

from bench.targets import CHECK_TARGETS, ENVOY_TARGETS, TARGETS, lines

ISSUE = {
    "warm_vs_naive": 0.06,
    "warm_vs_floor": 2.0,
    "cold_vs_verify": 2.2,
    "warm_vs_jwt_authn": 0.75,
    "warm_vs_constant": 1.10,
    "flood_p99": 3,
    "rss_idle_mb": 95,
    "rss_worker_mb": 50,
    "bytes_per_token": 1_500,
    "cached_vs_same_job": 1.05,
    "cached_vs_asked": 0.36,
    "missed_vs_asked": 1.04,
    "cached_p50_added_us": 1.5,
    "bytes_per_cached_token": 300,
}


def test_the_targets_are_those_that_were_set() -> None:
    assert {target.key: target.at_most for target in TARGETS} == ISSUE
    assert (*CHECK_TARGETS, *ENVOY_TARGETS) == TARGETS


@pytest.mark.parametrize(("measured", "met"), [(2.0, True), (2.001, False)])
def test_at_most_means_at_most(measured: float, met: bool) -> None:
    (floor,) = [target for target in TARGETS if target.key == "warm_vs_floor"]
    assert floor.is_met(measured) is met


def test_a_target_that_is_not_met_is_said() -> None:
    result = {**ISSUE, "flood_p99": 3.01}
    said = {line.split()[0]: line for line in lines(result, TARGETS)}
    assert "NOT MET" in said["flood_p99"]
    assert not any("NOT MET" in line for key, line in said.items() if key != "flood_p99")


def test_a_figure_that_was_not_measured_is_said() -> None:
    result = {name: value for name, value in ISSUE.items() if name != "flood_p99"}
    said = {line.split()[0]: line for line in lines(result, TARGETS)}
    assert "NOT MEASURED" in said["flood_p99"]
    assert len(said) == len(TARGETS) + 1
