"""The process's health: alive, and ready or not ready with reasons.

Liveness only means that the event loop runs; a sidecar without keys is alive, and restarting it
would not help. It is ready when every part is healthy.
"""

from collections.abc import Callable

from sidecar.common.clock import Now, wall_seconds
from sidecar.common.faults import reported


class Health:
    """The parts that must be healthy before the process is ready, each with its problem."""

    def __init__(self, now: Now = wall_seconds) -> None:
        self._now = now
        self._problems: dict[str, str] = {}
        self.since: dict[str, float] = {}
        """When each part that is not well became so (Unix seconds)."""
        self.ready_since = self.started_at = now()
        """When the readiness of now began (Unix seconds), and when the sidecar began to start."""
        self._listeners: list[Callable[[bool], None]] = []
        self.on_fault: Callable[[Exception], None] = lambda _exc: None
        """Gets the exceptions of listeners; the other listeners are called nevertheless."""
        self.facts: dict[str, str] = {}
        """What is worth saying of a part that is well, such as the state of the keys."""

    @property
    def ready(self) -> bool:
        """Whether nothing is wrong."""
        return not self._problems

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong, by part."""
        return dict(self._problems)

    def on_change(self, listener: Callable[[bool], None]) -> None:
        """Call ``listener`` with the new readiness whenever it changes, and once now."""
        self._listeners.append(listener)
        listener(self.ready)

    def set_unhealthy(self, part: str, problem: str) -> None:
        """Take note that a part is not well."""
        self._change(lambda: self._problems.__setitem__(part, problem))

    def set_healthy(self, part: str) -> None:
        """Take note that a part is well."""
        self._change(lambda: self._problems.pop(part, None))

    def _change(self, change: Callable[[], object]) -> None:
        before = self.ready
        change()
        now = self._now()
        self.since = {part: self.since.get(part, now) for part in self._problems}
        if self.ready is not before:
            self.ready_since = now
        if self.ready is not before:
            for listener in self._listeners:
                with reported(self.on_fault):  # one listener's defect is not the others'
                    listener(self.ready)
