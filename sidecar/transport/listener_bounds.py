"""The listeners, and the connection limit of each of them."""

import logging
from collections.abc import Iterator, Mapping

from sidecar.config import model
from sidecar.transport import guard
from sidecar.transport.descriptors import (
    OF_A_WORKER,
    OF_CHECKS,
    OWN,
    Demand,
    allot,
    of_worker,
    raise_limit,
)
from sidecar.transport.http1 import MAX_CONNECTIONS as MAX_ADMIN

SDS, ADMIN, REPORTS, PROBES = "SDS", "the admin port", "reports", "probes"
METRICS = "metrics"
_MOST_METRICS, _LEAST_METRICS = 32, 8
_LEAST_SDS = 8
_PER_GUARDED = 3
"""Descriptors of a connection through a guard: the peer's, and both ends of the server's."""

_log = logging.getLogger("sidecar")


def of_main(listen: model.Listen, limit: int) -> Mapping[str, int]:
    """Return the limits of the main process's listeners. Raise ``DescriptorFault``."""
    own = OWN + (OF_A_WORKER * listen.authz.workers if listen.authz.workers > 1 else 0)
    return allot(limit, own, _demands(listen))


def bound_connections(listen: model.Listen) -> Mapping[str, int]:
    """Raise the limit of open files, and return what fits. Raise ``DescriptorFault``."""
    limit = raise_limit()
    bounds = of_main(listen, limit)
    if listen.authz.workers > 1:
        of_worker(limit)
    fewer = [each for each in _demands(listen) if bounds[each.name] < each.preferred]
    if fewer:
        _log.warning(
            "the limit of %d open files allows only %s; raise it (ulimit -n, LimitNOFILE=)",
            limit,
            ", ".join(
                f"{bounds[each.name]} connections of {each.preferred} for {each.name}"
                for each in fewer
            ),
        )
    return bounds


def _demands(listen: model.Listen) -> Iterator[Demand]:
    if listen.authz.workers == 1:
        yield OF_CHECKS
    if listen.sds is not None:
        guarded = listen.sds.address.startswith("unix:") or listen.sds.mtls is not None
        per_connection = _PER_GUARDED if guarded else 1
        yield Demand(SDS, guard.MAX_CONNECTIONS, _LEAST_SDS, per_connection)
    yield Demand(ADMIN, MAX_ADMIN, MAX_ADMIN)
    if listen.reports is not None:
        most = listen.reports.max_connections
        yield Demand(REPORTS, most, most)
    if listen.probes is not None:
        yield Demand(PROBES, MAX_ADMIN, MAX_ADMIN)
    if listen.metrics is not None:
        yield Demand(METRICS, _MOST_METRICS, _LEAST_METRICS, _PER_GUARDED)
