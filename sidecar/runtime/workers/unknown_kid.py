"""How a worker reports a token whose key it does not know: at most once a second."""

from collections.abc import Callable

from sidecar.runtime.workers.frames import UnknownKid

UNKNOWN_KID_SECONDS = 1.0


class UnknownKidReports:
    """Sends the reports; ``clock`` is monotonic, in seconds."""

    def __init__(self, send: Callable[[UnknownKid], None], clock: Callable[[], float]) -> None:
        self._send = send
        self._clock = clock
        self._reported_at: float | None = None

    def report(self) -> None:
        """Report one, unless one was reported less than ``UNKNOWN_KID_SECONDS`` ago."""
        now = self._clock()
        if self._reported_at is None or now - self._reported_at >= UNKNOWN_KID_SECONDS:
            self._reported_at = now
            self._send(UnknownKid())
