"""One writer and several queues: each gets every line, and a full one holds up no other."""

from sidecar.observability.audit.chain import Head, chain_lines
from sidecar.observability.audit.fan_out import FanOut, FanOutQueue
from sidecar.observability.audit.intake import Intake
from sidecar.observability.audit.sink_gaps import SinkGap, SinkGaps


def test_each_queue_gets_every_batch() -> None:
    small, large = Intake(1, 1000), Intake(100, 1000)
    reopened: list[int] = []
    queues = [FanOutQueue(small, ("a",)), FanOutQueue(large, ("b",))]
    fan_out = FanOut(queues, lambda: reopened.append(1), SinkGaps())
    for _ in range(3):
        fan_out.write(b"a\nb\n")
    assert (small.waiting, small.dropped) == (2, 4)
    assert (large.waiting, large.dropped) == (6, 0)
    fan_out.reopen()
    fan_out.close()
    assert reopened == [1]


def test_what_a_queue_drops_is_a_gap_of_each_sink_behind_it() -> None:
    gaps, spool, file = SinkGaps(), Intake(2, 1000), Intake(100, 10_000)
    queues = [FanOutQueue(spool, ("kafka", "otlp")), FanOutQueue(file, ("file",))]
    fan_out = FanOut(queues, lambda: None, gaps)
    lines, _ = chain_lines(Head(b"0123456789abcdef"), [b'{"a":1}\n'] * 6)
    for at in (0, 2, 4):
        fan_out.write(b"".join(lines[at : at + 2]))
    assert gaps.owed(b"0123456789abcdef") == [], "as long as there is no room"
    taken = spool.take(10, 1000)
    assert taken is not None
    spool.done(taken)
    expected = [SinkGap(sink, b"0123456789abcdef", 3, 6) for sink in ("kafka", "otlp")]
    assert gaps.owed(b"0123456789abcdef") == expected
