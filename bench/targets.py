"""The targets (ratios of one run), and whether a figure meets its own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Target(NamedTuple):
    """One figure, what it is, and what it may be at most."""

    key: str
    words: str
    at_most: float

    def is_met(self, measured: float) -> bool:
        """Tell whether a figure meets the target."""
        return measured <= self.at_most


CHECK_TARGETS = (
    Target("warm_vs_naive", "warm Check, CPU : naive grpc.aio + PyJWT", 0.06),
    Target("warm_vs_floor", "warm Check, CPU : same engine, constant reply", 2.0),
    Target("cold_vs_verify", "token not seen before, CPU : bare ES256 verification", 2.2),
    Target("flood_p99", "p99 of warm Checks in a flood of forged tokens : at rest", 3.0),
    Target("rss_idle_mb", "resident memory, whole sidecar, one worker, idle, MB", 95.0),
    Target("rss_worker_mb", "resident memory, each further Check worker, MB", 50.0),
    Target("bytes_per_token", "bytes per remembered token", 1_500.0),
)
ENVOY_TARGETS = (
    Target(
        "warm_vs_jwt_authn",
        "through Envoy, CPU of Envoy + sidecar : Envoy's own jwt_authn without token cache",
        0.75,
    ),
    Target(
        "warm_vs_constant",
        "through Envoy, CPU of Envoy + sidecar : ext_authz to a constant reply",
        1.10,
    ),
    Target(
        "cached_vs_same_job",
        "decision cache, repeated : jwt_authn with token cache + rbac + header_mutation",
        1.05,
    ),
    Target("cached_vs_asked", "decision cache, repeated : asked", 0.36),
    Target("missed_vs_asked", "decision cache, each answer missed : asked without one", 1.04),
    Target(
        "cached_p50_added_us",
        "p50 that the decision cache adds to no filter at 1,000/s : jwt_authn with token cache",
        1.5,
    ),
    Target("bytes_per_cached_token", "bytes per token in Envoy, beside its own", 300.0),
)
TARGETS = (*CHECK_TARGETS, *ENVOY_TARGETS)


def lines(result: Mapping[str, Any], targets: Sequence[Target]) -> Iterable[str]:
    """Write figures beside their targets, for a terminal."""
    yield f"{'figure':18} {'measured':>10} {'at most':>10}"
    for target in targets:
        measured = result.get(target.key)
        if measured is None:
            yield f"{target.key:18} {'-':>10} {target.at_most:>10}  NOT MEASURED"
            continue
        verdict = "" if target.is_met(measured) else "  NOT MET"
        yield f"{target.key:18} {measured:>10} {target.at_most:>10}{verdict}"
