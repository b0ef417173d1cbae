"""The metrics of SDS."""

import logging
from collections.abc import Iterator

from prometheus_client.core import Metric

from sidecar.common.printable import printable
from sidecar.observability.metrics import counter, gauge
from sidecar.transport.peers import Peer

_log = logging.getLogger("sidecar.sds")


class SdsMetrics:
    """The counters of SDS."""

    def __init__(self) -> None:
        self._streams = 0
        self._pushed = 0
        self._nacks = 0
        self._peers_refused = 0
        self._peers_cut_off = 0

    def refuse_peer(self, peer: Peer) -> None:
        """Count a refused process; log it each time the number has doubled."""
        self._peers_refused += 1
        if self._peers_refused & (self._peers_refused - 1) == 0:
            _log.error(
                "process %d of user %d may not fetch secrets: allow its user or group in "
                "listen.sds.peer_uids or peer_gids, unless it is a child of the sidecar, which "
                "never may; %d refused by now",
                peer.pid,
                peer.uid,
                self._peers_refused,
            )

    def refuse_remote(self, host: str, reason: str) -> None:
        """Count a connection that was refused; log it each time the number has doubled."""
        self._peers_refused += 1
        if self._peers_refused & (self._peers_refused - 1) == 0:
            _log.error(
                "a connection from %s may not fetch secrets: %s (listen.sds.mtls); %d refused by "
                "now",
                host,
                printable(reason),
                self._peers_refused,
            )

    def cut_off(self, peer: str, reason: str) -> None:
        """Count and log a connection that was ended: its peer would not be let in now."""
        self._peers_cut_off += 1
        _log.warning("%s is cut off from secrets: %s", peer, printable(reason))

    def streams(self, count: int) -> None:
        """Store how many streams there are."""
        self._streams = count

    def push(self, count: int) -> None:
        """Count resources that were sent."""
        self._pushed += count

    def nack(self, node: str, message: str) -> None:
        """Count and log a refusal, with Envoy's message."""
        self._nacks += 1
        _log.error("Envoy %s refused a secret: %s", node[:128], message)

    def families(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield gauge("septem_sds_streams", "Open SDS streams", self._streams)
        yield counter("septem_sds_resources_pushed", "Secrets sent", self._pushed)
        yield counter("septem_sds_nacks", "Secrets that Envoy refused", self._nacks)
        yield counter(
            "septem_sds_peers_refused",
            "Connections that were refused",
            self._peers_refused,
        )
        yield counter(
            "septem_sds_peers_cut_off",
            "Connections over mTLS that were ended: the peer would not be let in any more",
            self._peers_cut_off,
        )
