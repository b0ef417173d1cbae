"""What the start waits for: shown in ``/readyz``, and in the log every few seconds."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

MAX_NAMED = 5
"""Waits that are named in one message; the others are counted."""


Waiting = Callable[[str], AbstractContextManager[None]]
"""``Waits.on``, for those who wait: a context in which something is waited for."""


def unseen(_what: str) -> AbstractContextManager[None]:
    """Show a wait to nobody: a ``Waiting`` for where nobody asks."""
    return nullcontext()


class Waits:
    """The waits of now, the longest first. ``clock`` returns monotonic seconds.

    ``on_change`` is called whenever one begins or ends.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._current: dict[int, tuple[str, float]] = {}
        self._next = 0
        self.on_change: Callable[[], None] = lambda: None

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Wait for ``what``, a noun phrase such as ``Vault at https://…``, in this block."""
        number, self._next = self._next, self._next + 1
        self._current[number] = what, self._clock()
        self.on_change()
        try:
            yield
        finally:
            del self._current[number]
            self.on_change()

    @property
    def names(self) -> str:
        """What is waited for, as a part of a sentence; empty for nothing."""
        return _joined([what for what, _ in self._current.values()])

    @property
    def timed(self) -> str:
        """The same, each with its seconds."""
        now = self._clock()
        return _joined([f"{what} ({now - since:.0f} s)" for what, since in self._current.values()])


def _joined(parts: list[str]) -> str:
    more = len(parts) - MAX_NAMED
    return "; ".join(parts[:MAX_NAMED]) + (f"; and {more} more" if more > 0 else "")
