"""A leak is told from a warm-up, a peak and noise."""

import random

import pytest

from bench.soak.levels import FEWEST_SECONDS, WARM_UP_SECONDS, Sample, level_of

SECONDS = range(0, 600, 2)


def rising(second: float) -> float:
    return min(second, WARM_UP_SECONDS) / 2


ROWS = [
    ("level", lambda _s: 80.0, True),
    ("a warm-up", lambda s: 50 + rising(s), True),
    ("a peak", lambda s: 80 + (100 if 300 < s < 340 else 0), True),
    ("noise", lambda s: 80 + random.Random(s).uniform(-6, 6), True),
    ("a leak of 2 MB a minute", lambda s: 80 + s / 30, False),
    ("a leak under noise", lambda s: 80 + s / 30 + random.Random(s).uniform(-6, 6), False),
]


@pytest.mark.parametrize(("rss", "level"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_memory(rss: object, level: bool) -> None:
    found = level_of([Sample(s, rss(s), 30) for s in SECONDS])  # type: ignore[operator]
    assert found is not None
    assert found.is_level is level, found


def test_open_files() -> None:
    leaking = level_of([Sample(s, 80, 30 + s // 20) for s in SECONDS])
    assert leaking is not None
    assert not leaking.is_level
    busy = level_of([Sample(s, 80, 30 + s % 10) for s in SECONDS])
    assert busy is not None
    assert busy.is_level


def test_a_short_life_says_nothing() -> None:
    most = int(WARM_UP_SECONDS + FEWEST_SECONDS)
    assert level_of([Sample(s, s, s) for s in range(most - 4)]) is None
    assert level_of([Sample(s, s, s) for s in range(most + 4)]) is not None
    assert level_of([]) is None
