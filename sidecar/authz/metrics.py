"""What is counted of the cache of verified tokens, as Prometheus families."""

from collections.abc import Iterator, Sized
from typing import Protocol

from prometheus_client.core import Metric

from sidecar.observability.metrics import counter, gauge


class CacheCounts(Sized, Protocol):
    """The counts of one memory of tokens, or of several workers' together."""

    hits: int
    misses: int
    evicted: int


def cache_families(cache: CacheCounts) -> Iterator[Metric]:
    """Tell how the memory of verified tokens does."""
    yield gauge("septem_token_cache_entries", "Verified tokens remembered", len(cache))
    yield counter("septem_token_cache_hits", "Tokens that were remembered", cache.hits)
    yield counter("septem_token_cache_misses", "Tokens that were verified", cache.misses)
    yield counter("septem_token_cache_evictions", "Tokens that made room", cache.evicted)
