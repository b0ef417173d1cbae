"""Whether a worker process still does its work: heartbeats sent, replies that are missing.

Pure: it counts heartbeats, not seconds. If the main process itself was blocked, a worker gets
the time to reply all the same.
"""

HEARTBEAT_SECONDS = 1.0
MAX_BEHIND_HEARTBEATS = 5
MAX_START_HEARTBEATS = 30
MAX_UNSENT_BYTES = 134_217_728
LANE_STALL_MS = 1000
"""A heartbeat counts as missed if calls have waited this long for signature checks and none was
started. A worker is killed after ``MAX_BEHIND_HEARTBEATS`` missed heartbeats."""


class Liveness:
    """Numbers the requests for statistics, which are the heartbeats, and counts the missed ones."""

    def __init__(self) -> None:
        self.requested = 0
        self.answered = 0
        self._start_heartbeats = 0
        self._behind_heartbeats = 0

    @property
    def is_request_open(self) -> bool:
        """Whether the newest request is not answered yet."""
        return self.answered < self.requested

    def next_request(self) -> int:
        """Return the number of a new request."""
        self.requested += 1
        return self.requested

    def take_answer(self, number: int) -> None:
        """Note the answer to a request, and to those before it."""
        self.answered = max(self.answered, number)

    def starting(self) -> str:
        """Count a heartbeat of a worker that does not serve yet; return why to kill it, or ""."""
        self._start_heartbeats += 1
        late = self._start_heartbeats >= MAX_START_HEARTBEATS
        return "did not start to serve in time" if late else ""

    def serving(self, *, lane_stalled_ms: int, applied_newest: bool, unsent_bytes: int) -> str:
        """Count a heartbeat of a worker that serves; return why to kill it, or ""."""
        silent = self.is_request_open
        stalled = lane_stalled_ms >= LANE_STALL_MS
        behind = silent or stalled or not applied_newest
        self._behind_heartbeats = self._behind_heartbeats + 1 if behind else 0
        if self._behind_heartbeats >= MAX_BEHIND_HEARTBEATS:
            if stalled:
                return "starts none of the queued signature checks"
            return "does not reply" if silent else "does not acknowledge its keys"
        return "does not read its channel" if unsent_bytes > MAX_UNSENT_BYTES else ""
