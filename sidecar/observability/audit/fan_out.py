"""One writer, several sinks: each batch goes into every queue, and none is waited for."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sidecar.observability.audit.intake import Intake
from sidecar.observability.audit.sink_gaps import SinkGaps


class FanOutQueue(NamedTuple):
    """A queue, and the sinks that get their lines from it."""

    intake: Intake
    sinks: tuple[str, ...]


class FanOut:
    """A ``Sink`` of the audit log that never fails: its queues count what they drop."""

    def __init__(
        self, queues: Sequence[FanOutQueue], reopen: Callable[[], None], gaps: SinkGaps
    ) -> None:
        self._queues = queues
        self._reopen = reopen
        self._gaps = gaps

    def write(self, lines: bytes) -> None:
        """Put whole lines into each queue."""
        count = lines.count(b"\n")
        for intake, sinks in self._queues:
            if not intake.put(lines, count):
                for sink in sinks:
                    self._gaps.add(sink, intake, lines)

    def reopen(self) -> None:
        """Have the files among the sinks reopened."""
        self._reopen()

    def close(self) -> None:
        """Nothing to close: the queues have owners of their own."""
