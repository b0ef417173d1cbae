"""What was in force when: facts whose value changes, and is uncertain while it does. Pure.

A change begins before its first effect can be seen, and is settled once an event proves that it
is in force everywhere. Between the two, the value before and the value after are both right; at
all other times one alone is. So a slow machine makes windows longer and verdicts never wrong.
Times are monotonic seconds.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T", bound=Hashable)


class _Change(NamedTuple, Generic[T]):
    value: T
    begun: float
    settled: float


class Fact(Generic[T]):
    """One value over time."""

    def __init__(self, value: T) -> None:
        self._changes: list[_Change[T]] = [_Change(value, -math.inf, -math.inf)]

    @property
    def newest(self) -> T:
        """The value that is in force, or comes into force."""
        return self._changes[-1].value

    def begin(self, value: T, now: float, settled: float = math.inf) -> None:
        """Begin a change, which may be announced for later, and may have a known end."""
        self._changes.append(_Change(value, now, settled))

    def settle(self, now: float) -> None:
        """Say that the newest value is in force everywhere from now on."""
        self._changes[-1] = self._changes[-1]._replace(settled=now)

    def during(self, start: float, end: float) -> tuple[T, ...]:
        """Return every value that may have been in force at some moment from start to end."""
        found: dict[T, None] = {}
        for number, change in enumerate(self._changes):
            later = self._changes[number + 1 :]
            replaced = min((each.settled for each in later), default=math.inf)
            if change.begun <= end and replaced >= start:
                found[change.value] = None
        return tuple(found)


class Event(NamedTuple):
    """Something that was done to the stack, or was seen of it."""

    at: float
    what: str


class Span(NamedTuple):
    """A disturbance: its kind, whom it hit, from when until when."""

    kind: str
    whom: str
    start: float
    end: float


class Timeline:
    """All events, and the spans of all disturbances."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.spans: list[Span] = []
        self._open: list[Span] = []

    def note(self, now: float, what: str) -> None:
        """Add an event."""
        self.events.append(Event(now, what))

    def open(self, kind: str, whom: str, now: float) -> Span:
        """Begin a disturbance."""
        span = Span(kind, whom, now, math.inf)
        self._open.append(span)
        self.note(now, f"{kind} {whom}".strip())
        return span

    def close(self, span: Span, now: float) -> None:
        """End a disturbance."""
        self._open.remove(span)
        self.spans.append(span._replace(end=now))
        self.note(now, f"end of {span.kind} {span.whom}".strip())

    def near(self, start: float, end: float, margin: float) -> list[str]:
        """Return what happened around an interval, one line each, with seconds from its start."""
        return [
            f"{each.at - start:+.2f} s  {each.what}"
            for each in sorted(self.events)
            if start - margin <= each.at <= end + margin
        ]

    def next_start(self, kinds: Iterable[str], after: float) -> float:
        """Return when the next disturbance of these kinds begins; infinity if none does."""
        wanted = frozenset(kinds)
        starts = [each.start for each in (*self.spans, *self._open) if each.kind in wanted]
        return min((start for start in starts if start >= after), default=math.inf)

    def meets(self, kinds: Iterable[str], start: float, end: float, after: float = 0.0) -> bool:
        """Tell whether a disturbance of these kinds overlaps an interval, or ended just before."""
        wanted = frozenset(kinds)
        return any(
            span.kind in wanted and span.start <= end and span.end + after >= start
            for span in (*self.spans, *self._open)
        )

    @contextmanager
    def during(self, kind: str, whom: str, clock: Callable[[], float]) -> Iterator[None]:
        """Record a disturbance for as long as the block runs."""
        span = self.open(kind, whom, clock())
        try:
            yield
        finally:
            self.close(span, clock())
