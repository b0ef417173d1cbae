"""How near its end a certificate is that was not renewed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.certificates.managed.renewal import Level, level_at, next_level_at

LEVELS = [
    ("before it is due", 999.0, Level.FRESH),
    ("when it is due", 1000.0, Level.FRESH),
    ("at half of what remains", 1500.0, Level.WARNING),
    ("at a tenth", 1900.0, Level.CRITICAL),
    ("at the end", 2000.0, Level.ENDED),
]


@pytest.mark.parametrize(("now", "level"), [e[1:] for e in LEVELS], ids=[e[0] for e in LEVELS])
def test_the_level(now: float, level: Level) -> None:
    assert level_at(1000.0, 2000.0, now) is level


@settings(deadline=None)  # a busy machine is no defect
@given(st.floats(0, 1e9), st.floats(1, 1e9), st.floats(0, 3e9))
def test_the_next_level_is_never_slept_through(due: float, left: float, now: float) -> None:
    end = due + left
    then = next_level_at(due, end, now)
    assert then == end or now < then < end
    between = now + (then - now) / 2
    if now < between < then:  # two moments may be neighbours
        assert level_at(due, end, between) is level_at(due, end, now)


NEXT = [
    ("before it is due", 999.0, 1500.0),
    ("at half of what remains", 1500.0, 1900.0),
    ("at a tenth", 1900.0, 2000.0),
    ("at the end", 2000.0, 2000.0),
    ("after it", 3000.0, 2000.0),
]


@pytest.mark.parametrize(("now", "then"), [n[1:] for n in NEXT], ids=[n[0] for n in NEXT])
def test_when_the_level_changes_next(now: float, then: float) -> None:
    assert next_level_at(1000.0, 2000.0, now) == then
