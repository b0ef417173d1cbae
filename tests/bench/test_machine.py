"""A busy machine is refused, in a sentence that says what to do."""

import pytest

from bench import machine


def loads(*values: float) -> "Loads":
    return Loads(list(values))


class Loads:
    """Load averages, one after another, and how long was waited between them."""

    def __init__(self, values: list[float]) -> None:
        self.values = values
        self.waited = 0.0

    def __call__(self) -> float:
        return self.values.pop(0) if len(self.values) > 1 else self.values[0]

    def pause(self, seconds: float) -> None:
        self.waited += seconds


@pytest.mark.parametrize("load", [0.0, 0.7])
def test_a_quiet_machine_is_measured_at_once(load: float) -> None:
    found = loads(load)
    assert machine.require_quiet(anyway=False, load=found, pause=found.pause) == load
    assert found.waited == 0


def test_a_busy_one_is_refused() -> None:
    found = loads(0.71)
    with pytest.raises(SystemExit, match=r"is busy: its load average is 0\.71.*--anyway"):
        machine.require_quiet(anyway=False, load=found, pause=found.pause)
    assert found.waited == 0


def test_anyway_tells_the_load() -> None:
    assert machine.require_quiet(anyway=True, load=loads(9.876)) == 9.88


def test_the_load_of_an_earlier_part_may_fade() -> None:
    found = loads(2.0, 1.5, 1.0, 0.6)
    assert machine.require_quiet(
        anyway=False, patience_seconds=60, load=found, pause=found.pause
    ) == pytest.approx(0.6)
    assert found.waited == 15
    stays = loads(2.0)
    with pytest.raises(SystemExit, match="busy"):
        machine.require_quiet(anyway=False, patience_seconds=60, load=stays, pause=stays.pause)
    assert stays.waited == 60
