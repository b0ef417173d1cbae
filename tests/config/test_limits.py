"""What follows from a rate's numbers."""

import pytest

from sidecar.config.limits import RateSettings


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [
        (RateSettings(requests=1000), 1),
        (RateSettings(requests=1000, burst=5000), 5),
        (RateSettings(requests=5, per_seconds=60), 60),
        (RateSettings(requests=1, per_seconds=86_400, burst=31), 31 * 86_400),
    ],
)
def test_a_burst_is_whole_again_after(rate: RateSettings, seconds: float) -> None:
    assert rate.refill_seconds == seconds
