"""When a source is polled next: spread over the interval, and more rarely while nobody answers."""

import logging
from collections import Counter
from random import Random

import pytest

from sidecar.common.errors import Fault
from sidecar.common.poll_pace import PollPace
from sidecar.common.polling import PollStatus
from sidecar.vault.errors import VaultForbidden, VaultSealed, VaultUnreachable

POLL = 10.0


class OutOfPaper(Fault):
    """Our own trouble, which asking more rarely does not mend."""

    retryable = True


def status_after(*faults: Exception | None) -> PollStatus:
    status = PollStatus("p", "a source", logging.getLogger("test"))
    for each in faults:
        if each is None:
            status.succeeded()
        else:
            status.failed(each)
    return status


def pace(jitter: float = 0.0, poll: float = POLL) -> PollPace:
    made = PollPace(lambda: poll, lambda: jitter)
    made.pause_seconds()
    return made


def test_a_fleet_that_started_at_one_moment_is_spread_over_the_whole_interval() -> None:
    random = Random(7)
    firsts = [PollPace(lambda: POLL, random.random).pause_seconds() for _ in range(1000)]
    assert all(0 < first <= POLL for first in firsts)
    seconds = Counter(int(first) for first in firsts)
    assert len(seconds) == 10
    assert max(seconds.values()) < 150, "a tenth of them in each second"


def test_it_stays_spread_and_later_pauses_are_never_longer_than_the_interval() -> None:
    random = Random(7)
    later = PollPace(lambda: POLL, random.random)
    later.pause_seconds()
    assert all(8 < later.pause_seconds(status_after(None)) <= POLL for _ in range(200))


OUTAGE, OTHER = VaultUnreachable("away"), VaultForbidden("no")
PAUSES: list[tuple[str, list[Exception | None], float]] = [
    ("it answers", [None], 10),
    ("it did not once", [OUTAGE], 10),
    ("it did not twice", [OUTAGE, VaultSealed("sealed")], 20),
    ("for long", [OUTAGE] * 50, 60),
    ("it answered since", [OUTAGE, OUTAGE, None], 10),
    ("it answers, and refuses", [OUTAGE, OUTAGE, OTHER], 10),
    ("trouble of our own", [OutOfPaper("x")] * 5, 10),
    ("a defect", [ValueError("x")] * 5, 10),
]


@pytest.mark.parametrize(("faults", "pause"), [p[1:] for p in PAUSES], ids=[p[0] for p in PAUSES])
def test_pauses_double_only_while_nobody_answers(
    faults: list[Exception | None], pause: float
) -> None:
    assert pace().pause_seconds(status_after(*faults)) == pause


@pytest.mark.parametrize(
    ("poll", "first", "longest"),
    [(0.1, 0.1, 0.6), (10, 10, 60), (30, 30, 60), (300, 60, 60), (86_400, 60, 60)],
)
def test_the_longest_pause_of_an_outage_is_a_minute(
    poll: float, first: float, longest: float
) -> None:
    """Of an outage alone: who refuses is asked again at the interval, and so is who answers."""
    paces = pace(poll=poll)
    assert paces.pause_seconds(status_after(OUTAGE)) == first
    assert paces.pause_seconds(status_after(*[OUTAGE] * 50)) == pytest.approx(longest)
    for faults in ([None], [OUTAGE, None], [OUTAGE, OTHER]):
        assert paces.pause_seconds(status_after(*faults)) == poll


def test_who_waited_for_one_thing_does_not_come_back_at_one_moment() -> None:
    random = Random(7)
    pauses = [
        pace(random.random()).pause_seconds(status_after(*[OUTAGE] * 50)) for _ in range(1000)
    ]
    assert 6 <= min(pauses) < 10, "not at once"
    assert 55 < max(pauses) <= 60


def test_a_wait_that_was_asked_for_is_kept() -> None:
    asked = VaultUnreachable("limited")
    asked.retry_after_seconds = 30.0
    assert pace(jitter=0.99).pause_seconds(status_after(asked)) == 30


def test_where_one_source_answers_all_are_read_as_usual() -> None:
    out, well = status_after(*[OUTAGE] * 5), status_after(None)
    assert pace().pause_seconds(out, well) == POLL
    assert pace().pause_seconds(out, out) == 60


def test_an_interval_that_a_reload_changed_is_used_at_once() -> None:
    interval = [10.0]
    paces = PollPace(lambda: interval[0], lambda: 0.0)
    assert paces.pause_seconds() == 10
    interval[0] = 2.0
    assert paces.pause_seconds() == 2
