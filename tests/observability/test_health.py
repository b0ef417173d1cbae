"""Ready or not, because of what, and who is told."""

import pytest

from sidecar.observability.health import Health

Step = tuple[str, str]
STORIES: list[tuple[str, list[Step], dict[str, str], list[bool]]] = [
    ("nothing said", [], {}, [True]),
    ("one part wrong", [("wrong", "keys")], {"keys": "no good"}, [True, False]),
    ("wrong and right again", [("wrong", "keys"), ("right", "keys")], {}, [True, False, True]),
    (
        "two wrong, one right: still not ready",
        [("wrong", "keys"), ("wrong", "certificates"), ("right", "keys")],
        {"certificates": "no good"},
        [True, False],
    ),
    ("right that never was wrong", [("right", "keys")], {}, [True]),
    (
        "wrong twice is told once",
        [("wrong", "drain"), ("wrong", "drain")],
        {"drain": "no good"},
        [True, False],
    ),
]


@pytest.mark.parametrize(
    ("steps", "problems", "told"), [s[1:] for s in STORIES], ids=[s[0] for s in STORIES]
)
def test_stories(steps: list[Step], problems: dict[str, str], told: list[bool]) -> None:
    health = Health()
    first: list[bool] = []
    second: list[bool] = []
    health.on_change(first.append)
    health.on_change(second.append)
    for what, part in steps:
        if what == "wrong":
            health.set_unhealthy(part, "no good")
        else:
            health.set_healthy(part)
    assert health.problems == problems
    assert health.ready is (not problems)
    assert first == second == told


def test_a_listener_that_comes_late_is_told_at_once() -> None:
    health = Health()
    health.set_unhealthy("keys", "none")
    told: list[bool] = []
    health.on_change(told.append)
    assert told == [False]


def test_the_latest_problem_of_a_part_is_shown() -> None:
    health = Health()
    health.set_unhealthy("keys", "none")
    health.set_unhealthy("keys", "too old")
    assert health.problems == {"keys": "too old"}


def test_problems_are_a_copy() -> None:
    health = Health()
    health.problems["keys"] = "not ours"
    assert health.ready


def test_since_when_each_part_is_not_well_and_the_whole() -> None:
    times = iter([10.0, 20.0, 30.0, 40.0, 50.0])
    health = Health(lambda: next(times))
    assert (health.started_at, health.ready_since, health.since) == (10.0, 10.0, {})
    health.set_unhealthy("keys", "no key")
    health.set_unhealthy("keys", "no key, still")
    health.set_unhealthy("workers", "none serves")
    assert health.since == {"keys": 20.0, "workers": 40.0}
    assert health.ready_since == 20.0
    health.set_healthy("keys")
    assert health.since == {"workers": 40.0}
