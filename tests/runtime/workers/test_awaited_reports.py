"""Statistics of a worker are awaited until they come or it ends."""

from sidecar.runtime.workers.awaited_reports import AwaitedReports


async def test_an_answer_wakes_those_that_asked_before_it_and_no_others() -> None:
    awaited = AwaitedReports()
    first, second, third = (awaited.future(number) for number in (1, 2, 3))
    assert awaited.future(2) is second, "callers of one request share it"
    awaited.answered(2)
    assert [each.done() for each in (first, second, third)] == [True, True, False]


async def test_one_that_gave_up_is_not_in_the_way() -> None:
    awaited = AwaitedReports()
    awaited.future(1).cancel()
    again = awaited.future(1)
    assert not again.done()
    awaited.future(2).cancel()
    awaited.answered(2)
    assert again.done()


async def test_the_end_wakes_all() -> None:
    awaited = AwaitedReports()
    futures = [awaited.future(number) for number in (1, 2)]
    futures[0].cancel()
    awaited.end()
    assert all(each.done() for each in futures)
