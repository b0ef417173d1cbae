"""Whether memory and open files stay level: pure, from samples of one process over its life.

A process warms up: caches fill, an allocator keeps what it had once. So the first part of its life
does not count. Of the rest the slope is the median of the slopes between all pairs of samples
(Theil and Sen), which one peak does not move; and it is held against what a leak would show.
"""

from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

WARM_UP_SECONDS = 60.0
FEWEST_SECONDS = 90.0
"""A life whose level part is shorter than this says nothing."""
MAX_GROWTH_MB = 8.0
"""Over the level part of a life, beside 5 % of what the process had."""
MAX_GROWTH_FILES = 16.0
_MAX_SAMPLES = 200


class Sample(NamedTuple):
    """What a process had at a moment (monotonic seconds)."""

    at: float
    rss_mb: float
    files: int


class Level(NamedTuple):
    """How a process grew over the part of its life that counts."""

    seconds: float
    rss_mb: float
    """At its end, the median of the last samples."""
    rss_growth_mb: float
    files: float
    files_growth: float

    @property
    def is_level(self) -> bool:
        """Whether neither grew by more than what is allowed."""
        return (
            self.rss_growth_mb <= MAX_GROWTH_MB + 0.05 * self.rss_mb
            and self.files_growth <= MAX_GROWTH_FILES
        )


def level_of(samples: Sequence[Sample], warm_up_seconds: float = WARM_UP_SECONDS) -> Level | None:
    """Return how level a process is, or nothing if it did not live long enough to say."""
    if not samples:
        return None
    start = samples[0].at + warm_up_seconds
    counting = [each for each in samples if each.at >= start]
    if not counting or counting[-1].at - counting[0].at < FEWEST_SECONDS:
        return None
    step = max(1, len(counting) // _MAX_SAMPLES)
    kept = counting[::step]
    seconds = counting[-1].at - counting[0].at
    last = counting[-5:]
    return Level(
        seconds,
        median(each.rss_mb for each in last),
        _slope([(each.at, each.rss_mb) for each in kept]) * seconds,
        median(each.files for each in last),
        _slope([(each.at, float(each.files)) for each in kept]) * seconds,
    )


def _slope(points: Sequence[tuple[float, float]]) -> float:
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 > x1]
    return median(slopes) if slopes else 0.0
