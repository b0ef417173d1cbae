"""An open loop: requests leave when they are due, whether or not the last was answered.

A client that waits for each answer before it asks again is slowed by the very delay that it
is there to see, and then sees it once where a real crowd would have met it many times
("coordinated omission"). So every request has a moment when it is due, fixed before the
first is sent, and its latency is counted from *that*, however late it could be sent.

Pure: whoever runs the loop passes the time in.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple


class Schedule(NamedTuple):
    """``total`` requests, the first at ``start``, then ``rate`` a second."""

    start: float
    rate: float
    total: int

    @classmethod
    def lasting(cls, start: float, rate: float, seconds: float) -> "Schedule":
        """Plan for so many seconds."""
        if rate <= 0 or seconds <= 0:
            raise ValueError("rate and seconds must be positive")
        return cls(start, rate, max(1, math.floor(rate * seconds)))

    def due_at(self, number: int) -> float:
        """Tell when a request is due. Multiplied, not added up: no drift."""
        return self.start + number / self.rate

    def due_by(self, now: float) -> int:
        """Count the requests that should have left by now."""
        if now < self.start:
            return 0
        number = min(self.total, math.floor((now - self.start) * self.rate) + 1)
        # A float's rounding may be off by one either way; due_at is what counts.
        while number < self.total and self.due_at(number) <= now:
            number += 1
        while number > 0 and self.due_at(number - 1) > now:
            number -= 1
        return number


class Paced(NamedTuple):
    """What an open loop saw, in seconds, by request."""

    latencies: list[float]
    """From when a request was due to its answer; for an unanswered one, to the end."""
    lateness: list[float]
    """From when a request was due to when this client sent it: the client's own share."""
    unanswered: int


def counters(
    schedule: Schedule, sent: Mapping[int, float], answered: Mapping[int, float], ended: float
) -> Paced:
    """Sum an open loop up. Nothing is left out: what was never sent or answered counts too."""
    numbers = range(schedule.total)
    return Paced(
        [answered.get(number, ended) - schedule.due_at(number) for number in numbers],
        [sent.get(number, ended) - schedule.due_at(number) for number in numbers],
        sum(number not in answered for number in numbers),
    )
