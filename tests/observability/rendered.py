"""Metrics as Prometheus reads them."""

from collections.abc import Iterable, Iterator

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

Samples = dict[tuple[str, ...], float]


class _Source(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def rendered(families: Iterable[Metric]) -> Samples:
    """Return the samples, as they are written and read: by name, and labels in their order."""
    registry = CollectorRegistry()
    registry.register(_Source(families))
    return read(generate_latest(registry))


def read(text: bytes) -> Samples:
    """Return the samples of a text: by name, and labels in their order."""
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }
