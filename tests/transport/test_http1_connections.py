"""Who makes room for whom."""

from functools import partial

from sidecar.transport.http1_connections import ConnectionTable


class Table:
    """A table of three, and whom it has closed."""

    def __init__(self, limit: int = 3) -> None:
        self.table = ConnectionTable(limit)
        self.closed: list[str] = []

    def admit(self, *names: str) -> list[bool]:
        return [self.table.admit(each, partial(self.closed.append, each)) for each in names]


def test_the_oldest_idle_connection_is_closed_for_a_new_one() -> None:
    made = Table()
    assert made.admit("a", "b", "c") == [True] * 3
    assert made.closed == []
    assert made.admit("d", "e") == [True] * 2
    assert made.closed == ["a", "b"]
    assert (len(made.table), made.table.evicted) == (3, 2)


def test_an_answer_begins_the_wait_anew() -> None:
    made = Table()
    made.admit("a", "b", "c")
    made.table.answered("a")
    made.table.answered("nobody")
    made.admit("d", "e")
    assert made.closed == ["b", "c"]


def test_what_is_worked_on_stays_and_then_waits_as_the_newest() -> None:
    made = Table()
    made.admit("a", "b", "c")
    with made.table.work("a") as has_room:
        assert has_room
        made.admit("d", "e")
        assert made.closed == ["b", "c"]
        assert len(made.table) == 3
    made.admit("f", "g")
    assert made.closed == ["b", "c", "d", "e"]


def test_only_half_have_work_at_once_so_that_others_can_connect() -> None:
    made = Table(4)
    made.admit("a", "b", "c", "d")
    with made.table.work("a") as first, made.table.work("b") as second:
        with made.table.work("c") as third:
            assert (first, second, third) == (True, True, False)
        assert made.admit("e", "f", "g") == [True] * 3
        assert made.closed == ["c", "d", "e"]


def test_a_connection_with_work_is_not_closed_for_a_new_one() -> None:
    made = Table(1)
    made.admit("a")
    with made.table.work("a") as has_room:
        assert has_room
        assert made.admit("b") == [False]
    assert made.admit("b") == [True]
    assert made.closed == ["a"]


def test_what_has_closed_is_forgotten_even_while_it_is_worked_on() -> None:
    made = Table()
    made.admit("a", "b")
    with made.table.work("a"):
        made.table.forget("a")
    made.table.forget("b")
    assert len(made.table) == 0
    with made.table.work("a") as has_room:
        assert not has_room
    assert made.closed == []
