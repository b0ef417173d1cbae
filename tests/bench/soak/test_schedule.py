"""The schedule and the requests are functions of the seed."""

from itertools import islice

from bench.soak.asks import CREDENTIALS, PLACES, SHAPES, asks
from bench.soak.disturbances import KINDS
from bench.soak.schedule import LANES, draw

HOUR = 3600.0


def test_the_same_seed_is_the_same_run_and_another_is_not() -> None:
    assert draw(7, "a", HOUR) == draw(7, "a", HOUR)
    assert draw(7, "a", HOUR) != draw(8, "a", HOUR)
    assert draw(7, "a", HOUR) != draw(7, "b", HOUR)
    first = list(islice(asks(7, "a", 1), 100))
    assert first == list(islice(asks(7, "a", 1), 100))
    assert first != list(islice(asks(8, "a", 1), 100))
    assert first != list(islice(asks(7, "a", 2), 100))


def test_a_longer_run_begins_as_a_shorter_one_does() -> None:
    shorter = draw(7, "a", 300)
    assert draw(7, "a", HOUR)[: len(shorter)] == shorter


def test_every_kind_of_disturbance_can_be_done_and_comes_often() -> None:
    drawn = {each.kind for each in draw(3, "a", HOUR)}
    assert drawn == set(KINDS) == {kind for kinds in LANES.values() for kind in kinds}


def test_a_dense_run_meets_each_kind_within_minutes() -> None:
    for seed in range(20):
        assert {each.kind for each in draw(seed, "a", 240, pace=5)} >= set(KINDS) - {
            "sidecar_restarted"
        }


def test_every_kind_of_request_comes() -> None:
    drawn = list(islice(asks(5, "a", 1), 3000))
    assert {each.shape for each in drawn} == set(SHAPES)
    assert {each.credential for each in drawn} == set(CREDENTIALS)
    assert {each.place for each in drawn} >= set(PLACES)
    paths = [each.path for each in drawn if each.place != "/api/hot" and each.shape != "install"]
    assert len(set(paths)) == len(paths), "the audit log is searched by them"
