"""Everyone who watches is told; whoever has left is not; nobody's defect is the others'."""

import asyncio
from typing import Any

from sidecar.common.observers import Observers


def test_whoever_watches_is_told_until_it_ends_that() -> None:
    seen: list[tuple[str, str]] = []
    observers: Observers[str] = Observers()
    end_first = observers.watch(lambda name: seen.append(("first", name)))
    observers.watch(lambda name: seen.append(("second", name)))
    observers.notify("a")
    assert (sorted(seen), len(observers)) == ([("first", "a"), ("second", "a")], 2)
    seen.clear()
    end_first()
    end_first()
    observers.notify("b")
    assert seen == [("second", "b")]


def test_one_may_leave_or_come_while_it_is_told() -> None:
    observers: Observers[str] = Observers()
    seen: list[str] = []

    def leave(name: str) -> None:
        seen.append(name)
        end()
        observers.watch(seen.append)

    end = observers.watch(leave)
    observers.notify("a")
    assert seen == ["a"]
    observers.notify("b")
    assert seen == ["a", "b"]


async def test_what_one_raises_is_reported_and_the_others_are_told() -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: reported.append(context["exception"])
    )
    observers: Observers[int] = Observers()
    seen: list[int] = []
    observers.watch(lambda number: [][number])
    observers.watch(seen.append)
    observers.notify(7)
    assert seen == [7]
    assert [type(each) for each in reported] == [IndexError]
