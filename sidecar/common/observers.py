"""Observers of a change: one set of callbacks, for everything that is watched."""

from collections.abc import Callable
from typing import Generic, TypeVar

from sidecar.common.faults import call_each

T = TypeVar("T")


class Observers(Generic[T]):
    """Callbacks of one argument. They are called on the event loop, and must not wait.

    What one of them raises is reported to the running loop; the others are still called.
    """

    __slots__ = ("_callbacks",)

    def __init__(self) -> None:
        self._callbacks: set[Callable[[T], None]] = set()

    def __len__(self) -> int:
        """Return how many observers there are."""
        return len(self._callbacks)

    def watch(self, changed: Callable[[T], None]) -> Callable[[], None]:
        """Call ``changed`` from now on; returns what ends that. Ending it twice does no harm."""
        self._callbacks.add(changed)
        return lambda: self._callbacks.discard(changed)

    def notify(self, what: T) -> None:
        """Call every observer of now; one that ends meanwhile may be called once more."""
        call_each(self._callbacks, what)
