"""One writer and several queues: each gets every line, and a full one holds up no other."""

from sidecar.observability.audit.fan_out import FanOut
from sidecar.observability.audit.intake import Intake


def test_each_queue_gets_every_batch() -> None:
    small, large = Intake(1, 1000), Intake(100, 1000)
    reopened: list[int] = []
    fan_out = FanOut([small, large], lambda: reopened.append(1))
    for _ in range(3):
        fan_out.write(b"a\nb\n")
    assert (small.waiting, small.dropped) == (2, 4)
    assert (large.waiting, large.dropped) == (6, 0)
    fan_out.reopen()
    fan_out.close()
    assert reopened == [1]
