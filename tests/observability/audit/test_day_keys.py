"""Keys of days: each comes of the one before, and nothing goes back."""

from sidecar.observability.audit.day_keys import MAX_DAYS, DayKeys


def test_a_day_has_the_same_key_whatever_the_oldest_is() -> None:
    keys = DayKeys(100, b"k" * 16)
    later = keys.since(110)
    assert later.day == 110
    assert [later.key_of(day) for day in (110, 111, 150)] == [
        keys.key_of(day) for day in (110, 111, 150)
    ]
    assert len({keys.key_of(day) for day in range(100, 200)}) == 100
    assert keys.since(50) is keys


def test_a_day_before_the_oldest_has_its_key_and_no_other() -> None:
    keys = DayKeys(100, b"k" * 16)
    assert keys.key_of(99) == keys.key_of(100) == b"k" * 16
    assert keys.since(110).key_of(105) != keys.key_of(105)


def test_a_clock_that_is_far_off_takes_bounded_time() -> None:
    keys = DayKeys.fresh(100)
    assert keys.key_of(10**9) == keys.key_of(100 + MAX_DAYS)


def test_nothing_shows_a_key() -> None:
    assert repr(DayKeys(1, b"k" * 16)) == "DayKeys(from day 1)"
