"""The metrics of the token cache, as Prometheus families."""

from collections.abc import Iterator, Sized
from typing import Protocol

from prometheus_client.core import Metric

from sidecar.observability.metrics import counter, gauge


class CacheCounts(Sized, Protocol):
    """The counts of one token cache, or the sums of several workers' caches."""

    hits: int
    misses: int
    evicted: int


def cache_families(cache: CacheCounts) -> Iterator[Metric]:
    """Yield the metric families of the token cache."""
    yield gauge("septem_token_cache_entries", "Verified tokens in the cache", len(cache))
    yield counter("septem_token_cache_hits", "Tokens found in the cache", cache.hits)
    yield counter("septem_token_cache_misses", "Tokens not found in the cache", cache.misses)
    yield counter("septem_token_cache_evictions", "Tokens evicted", cache.evicted)
