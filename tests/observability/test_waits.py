"""What the start waits for, in words."""

import pytest

from sidecar.observability.waits import MAX_NAMED, Waits, unseen


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_waits_are_named_in_their_order_with_their_seconds() -> None:
    clock = Clock()
    waits = Waits(clock)
    assert (waits.names, waits.timed) == ("", "")
    with waits.on("Vault"):
        clock.now += 7
        with waits.on("a lease"):
            clock.now += 5
            assert waits.names == "Vault; a lease"
            assert waits.timed == "Vault (12 s); a lease (5 s)"
        assert waits.timed == "Vault (12 s)"
    assert waits.names == ""


def test_one_that_ends_with_an_exception_is_over_as_well() -> None:
    waits = Waits(Clock())
    changes: list[str] = []
    waits.on_change = lambda: changes.append(waits.names)
    with pytest.raises(ZeroDivisionError), waits.on("Vault"):
        raise ZeroDivisionError
    assert changes == ["Vault", ""]


def test_the_same_may_be_waited_for_twice() -> None:
    waits = Waits(Clock())
    with waits.on("a certificate"):
        with waits.on("a certificate"):
            pass
        assert waits.names == "a certificate"


def test_of_many_a_few_are_named() -> None:
    waits = Waits(Clock())
    contexts = [waits.on(str(number)) for number in range(MAX_NAMED + 2)]
    for each in contexts:
        each.__enter__()
    assert waits.names == "0; 1; 2; 3; 4; and 2 more"


def test_a_wait_that_nobody_asks_for_is_a_context_all_the_same() -> None:
    with unseen("whatever"):
        pass
