"""How long to wait before something is tried again, and the one rule of jitter. Pure.

A pause grows with each failure in a row, up to a bound. Jitter only ever makes it shorter:
the longest wait that is documented stays the longest, and what began at one moment in many
processes does not continue at one moment. A caller that was asked to wait (``Retry-After``)
waits at least that long.

A caller passes in ``jitter``, uniform in [0, 1): ``random.random()`` in a server, a number in
a test.
"""

from typing import NamedTuple

JITTER_SHARE = 0.2
"""The share of a wait that jitter may take off: of polls, retries and times to live."""
CONTENDED_JITTER_SHARE = 0.5
"""The same where those who wait compete for one thing: a lease, an entry, a processor."""
_MAX_STEPS = 64
"""Steps of growth that are reckoned: past any bound, and far inside a float."""


def with_jitter(seconds: float, jitter: float, share: float = JITTER_SHARE) -> float:
    """Return a wait of ``seconds``, shorter by at most ``share`` of it."""
    return seconds * (1.0 - share * jitter)


class Backoff(NamedTuple):
    """The pauses of one kind of retry, in seconds."""

    first_seconds: float
    max_seconds: float
    growth: float = 2.0
    jitter_share: float = JITTER_SHARE

    def pause_seconds(
        self, failures: int, jitter: float, asked_seconds: float | None = None
    ) -> float:
        """Return the pause after the ``failures``-th failure in a row, from 1 on.

        ``asked_seconds`` is the pause that the other side asked for, if it did; the
        pause is never shorter.
        """
        grown = self.first_seconds * self.growth ** min(max(failures - 1, 0), _MAX_STEPS)
        pause = with_jitter(min(grown, self.max_seconds), jitter, self.jitter_share)
        return max(pause, asked_seconds or 0.0)
