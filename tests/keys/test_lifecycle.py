"""The state machine: every pair of state and event, and what the docs draw of it."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.keys.lifecycle import (
    TRANSITIONS,
    KeyEvent,
    KeyState,
    KeyStateChange,
    Lifecycle,
    LifecycleError,
    diagram,
    worst,
)

I, A, O, D = KeyState.INIT, KeyState.ACTIVE, KeyState.OUTAGE, KeyState.DEGRADED  # noqa: E741
EXPECTED = {
    (I, "refreshed"): A, (I, "failed"): I, (I, "aged"): None,
    (A, "refreshed"): A, (A, "failed"): O, (A, "aged"): None,
    (O, "refreshed"): A, (O, "failed"): O, (O, "aged"): D,
    (D, "refreshed"): A, (D, "failed"): D, (D, "aged"): None,
}  # fmt: skip


@pytest.mark.parametrize(("state", "event"), list(product(KeyState, KeyEvent)))
def test_every_pair(state: KeyState, event: KeyEvent) -> None:
    life = Lifecycle(100.0)
    life.state = state
    after = EXPECTED[state, event]
    assert TRANSITIONS.get((state, event)) is after
    if after is None:
        with pytest.raises(LifecycleError):
            life._step(event)
    else:
        assert life._step(event) == KeyStateChange(state, after)


def test_a_life() -> None:
    life = Lifecycle(100.0)
    assert life.failed(0.0) == KeyStateChange(I, I)
    assert life.refreshed(1.0) == KeyStateChange(I, A)
    assert life.failed(50.0) == KeyStateChange(A, O)
    assert life.failed(100.9) == KeyStateChange(O, O)
    assert life.failed(101.0) == KeyStateChange(O, D)
    assert life.failed(500.0) == KeyStateChange(D, D)
    assert life.age_seconds(500.0) == 499.0
    assert life.refreshed(501.0) == KeyStateChange(D, A)
    assert life.age_seconds(501.0) == 0.0


def test_an_outage_that_is_seen_late_is_degraded_at_once() -> None:
    life = Lifecycle(100.0)
    life.refreshed(0.0)
    assert life.failed(1000.0) == KeyStateChange(A, D)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 60)), max_size=50))
def test_degraded_is_exactly_old_and_failing(steps: list[tuple[bool, float]]) -> None:
    life, now, last = Lifecycle(100.0), 0.0, 0.0
    life.refreshed(now)
    for good, pause in steps:
        now += pause
        if good:
            life.refreshed(now)
            last = now
            assert life.state is A
        else:
            life.failed(now)
            assert life.state is (D if now - last >= 100.0 else O)


def test_the_worst_speaks_for_all() -> None:
    assert worst([A, A]) is A
    assert worst([A, O, A]) is O
    assert worst([D, O, A]) is D


def test_the_docs_draw_this_table() -> None:
    assert diagram() in (Path(__file__).parents[2] / "docs/keys.md").read_text()
