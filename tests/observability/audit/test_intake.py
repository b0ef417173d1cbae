"""The queue of one sink: bounded in lines and bytes, and what is dropped is counted."""

from sidecar.observability.audit.intake import Batch, Intake


def test_what_is_put_in_is_taken_in_its_order_and_waits_until_done() -> None:
    intake = Intake(100, 1000)
    intake.put(b"a\nb\n", 2)
    intake.put(b"c\n", 1)
    batch = intake.take(10, 100)
    assert batch == Batch(b"a\nb\nc\n", 3, 0)
    assert intake.waiting == 3
    assert intake.take(10, 100) is None
    intake.done(batch)
    assert intake.waiting == 0


def test_a_batch_has_its_bounds_and_one_chunk_at_least() -> None:
    intake = Intake(100, 1000)
    for _ in range(3):
        intake.put(b"a\nb\n", 2)
    assert intake.take(5, 100) == Batch(b"a\nb\na\nb\n", 4, 0)
    assert intake.take(1, 1) == Batch(b"a\nb\n", 2, 0)


def test_a_full_queue_drops_what_is_new() -> None:
    intake = Intake(3, 1000)
    for text in (b"a\nb\n", b"c\nd\n", b"e\n"):
        intake.put(text, text.count(b"\n"))
    assert (intake.dropped, intake.waiting) == (1, 4)
    small = Intake(100, 5)
    small.put(b"abcde\n", 1)
    small.put(b"f\n", 1)
    assert (small.dropped, small.waiting) == (1, 1)
    small.use_bounds(100, 100)
    small.put(b"g\n", 1)
    assert small.waiting == 2


def test_giving_up_counts_what_waits() -> None:
    intake = Intake(100, 1000)
    intake.put(b"a\n", 1)
    intake.put(b"b\nc\n", 2)
    assert intake.take(1, 100) is not None
    assert intake.give_up() == 3
    assert (intake.dropped, intake.waiting) == (3, 0)
    intake.put(b"d\n", 1)
    assert intake.waiting == 1
