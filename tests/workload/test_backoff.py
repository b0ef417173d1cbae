"""Pauses grow, are bounded, and jitter only shortens them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workload.backoff import CONTENDED_JITTER_SHARE, JITTER_SHARE, Backoff, with_jitter

TEN = Backoff(10.0, 3600.0)

PAUSES = [
    # what is asked, the backoff, failures, jitter, what the other side asked, the pause
    ("the first", TEN, 1, 0.0, None, 10.0),
    ("none yet is as the first", TEN, 0, 0.0, None, 10.0),
    ("the second", TEN, 2, 0.0, None, 20.0),
    ("the ninth", TEN, 9, 0.0, None, 2560.0),
    ("the bound", TEN, 10, 0.0, None, 3600.0),
    ("for ever after", TEN, 10_000_000, 0.0, None, 3600.0),
    ("jitter takes off", TEN, 2, 0.5, None, 20.0 * (1 - JITTER_SHARE / 2)),
    ("of the bound too", TEN, 99, 0.5, None, 3600.0 * (1 - JITTER_SHARE / 2)),
    ("more among those who compete", TEN._replace(jitter_share=CONTENDED_JITTER_SHARE),
     1, 0.5, None, 7.5),
    ("another growth", TEN._replace(growth=1.5), 3, 0.0, None, 22.5),
    ("a longer pause that was asked for", TEN, 1, 0.9, 60.0, 60.0),
    ("a shorter one", TEN, 3, 0.0, 15.0, 40.0),
    ("one past the bound", TEN, 30, 0.0, 86_400.0, 86_400.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("backoff", "failures", "jitter", "asked", "pause"),
    [each[1:] for each in PAUSES],
    ids=[each[0] for each in PAUSES],
)
def test_pauses(
    backoff: Backoff, failures: int, jitter: float, asked: float | None, pause: float
) -> None:
    assert backoff.pause_seconds(failures, jitter, asked) == pytest.approx(pause)


@given(failures=st.integers(1, 10**9), jitter=st.floats(0, 1, exclude_max=True))
def test_a_pause_is_never_longer_than_said_and_never_nothing(failures: int, jitter: float) -> None:
    pause = TEN.pause_seconds(failures, jitter)
    assert TEN.first_seconds * (1 - JITTER_SHARE) < pause <= TEN.max_seconds
    assert pause <= TEN.pause_seconds(failures + 1, jitter)


@given(seconds=st.floats(0.001, 1e9), jitter=st.floats(0, 1, exclude_max=True))
def test_jitter_only_shortens(seconds: float, jitter: float) -> None:
    assert seconds * (1 - JITTER_SHARE) <= with_jitter(seconds, jitter) <= seconds
