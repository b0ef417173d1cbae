"""Arithmetic of samples: nothing here reads a clock or a file."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """Runs of one measure: their median, and how far half of them lie apart."""

    median: float
    quartiles: tuple[float, float]
    runs: int
    extremes: tuple[float, float]
    """The least and the most."""

    @property
    def relative(self) -> float:
        """Half the distance of the quartiles, as a share of the median."""
        low, high = self.quartiles
        return (high - low) / 2 / self.median if self.median else 0.0


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the smallest sample that at least this share of them does not exceed."""
    if not samples:
        raise ValueError("no samples")
    if not 0 < share <= 1:
        raise ValueError(f"{share} is no share")
    ranked = sorted(samples)
    rank = math.ceil(len(ranked) * share - 1e-9)  # 0.999 of 1000 is 999, whatever floats say
    return ranked[max(rank, 1) - 1]


def spread(samples: Iterable[float]) -> Spread:
    """Sum runs up. One run is its own quartiles."""
    runs = list(samples)
    if not runs:
        raise ValueError("no runs")
    if len(runs) == 1:
        return Spread(runs[0], (runs[0], runs[0]), 1, (runs[0], runs[0]))
    low, middle, high = statistics.quantiles(runs, n=4, method="inclusive")
    return Spread(middle, (low, high), len(runs), (min(runs), max(runs)))


def spread_row(each: Spread, digits: int = 1) -> dict[str, float]:
    """Write down a median, its range and how many runs it is of."""
    least, most = each.extremes
    rounded = {"median": each.median, "least": least, "most": most}
    return {**{name: round(value, digits) for name, value in rounded.items()}, "runs": each.runs}


def never(_rounds: int) -> bool:
    """Stop early for nothing."""
    return False


def within(budget_seconds: float, clock: Callable[[], float]) -> Callable[[int], bool]:
    """Stop before a round that would end after so long; two are always run."""
    started = clock()
    return lambda done: done >= 2 and (clock() - started) / done * (done + 1) > budget_seconds


def alternate(
    runs: int,
    measures: Mapping[str, Callable[[], float]],
    enough: Callable[[int], bool] = never,
) -> dict[str, Spread]:
    """Run every measure in turn, so often, every other round backwards.

    What slows the machine for a moment then meets all alike, and none always comes after
    the same other. ``enough`` is asked after each round, with the rounds done.
    """
    samples: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(runs):
        names = list(measures) if number % 2 == 0 else list(measures)[::-1]
        for name in names:
            samples[name].append(measures[name]())
        if enough(number + 1):
            break
    return {name: spread(values) for name, values in samples.items()}


def latency_row(samples: Sequence[float]) -> dict[str, int]:
    """Return p50, p99 and, of a thousand or more, p99.9 of seconds, as microseconds."""
    shares = {"p50_us": 0.5, "p99_us": 0.99}
    if len(samples) >= 1_000:
        shares["p999_us"] = 0.999
    return {name: round(percentile(samples, share) * 1e6) for name, share in shares.items()}
