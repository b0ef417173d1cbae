"""One writer, several sinks: each batch goes into every queue, and none is waited for."""

from collections.abc import Callable, Sequence

from sidecar.observability.audit.intake import Intake


class FanOut:
    """A ``Sink`` of the audit log that never fails: its queues count what they drop."""

    def __init__(self, intakes: Sequence[Intake], reopen: Callable[[], None]) -> None:
        self._intakes = intakes
        self._reopen = reopen

    def write(self, lines: bytes) -> None:
        """Put whole lines into each queue."""
        count = lines.count(b"\n")
        for intake in self._intakes:
            intake.put(lines, count)

    def reopen(self) -> None:
        """Have the files among the sinks reopened."""
        self._reopen()

    def close(self) -> None:
        """Nothing to close: the queues have owners of their own."""
