"""The metrics of the listener for metrics."""

import logging
from collections.abc import Callable, Iterator

from prometheus_client.core import Metric

from sidecar.common.printable import printable
from sidecar.observability.metrics import counter, gauge
from workload.x509.material import Material

_log = logging.getLogger("sidecar.admin")


class ScraperMetrics:
    """Counts who was refused by ``listen.metrics``, and says when its certificate ends."""

    def __init__(self, material: Callable[[], Material | None]) -> None:
        self._material = material
        self._refused = 0
        self._cut_off = 0

    def refuse(self, host: str, reason: str) -> None:
        """Count a connection that was refused; log it each time the number has doubled."""
        self._refused += 1
        if self._refused & (self._refused - 1) == 0:
            _log.warning(
                "a connection from %s may not read metrics: %s (listen.metrics.tls); %d denied "
                "by now",
                host,
                printable(reason),
                self._refused,
            )

    def cut_off(self, peer: str, reason: str) -> None:
        """Count and log a connection that was ended: its peer would not be let in now."""
        self._cut_off += 1
        _log.warning("%s is cut off from metrics: %s", printable(peer), printable(reason))

    def families(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield counter(
            "septem_metrics_peers_refused",
            "Connections to listen.metrics that were denied",
            self._refused,
        )
        yield counter(
            "septem_metrics_peers_cut_off",
            "Connections to listen.metrics that were ended: the peer would not be let in any more",
            self._cut_off,
        )
        material = self._material()
        yield gauge(
            "septem_metrics_certificate_not_after_timestamp_seconds",
            "End of the certificate of listen.metrics; 0 while there is none",
            0.0 if material is None else material.not_after,
        )
