"""The metrics of SDS."""

import logging
from collections import deque
from collections.abc import Iterator

from prometheus_client.core import Metric

from sidecar.common.clock import Now, wall_seconds
from sidecar.common.printable import printable
from sidecar.observability.metrics import counter, gauge
from sidecar.observability.panel import Ask, Panel
from sidecar.sds.panel import KEPT_REFUSALS, SdsRefusal, envoys_panel
from sidecar.transport.peers import Peer

_MAX_WORDS = 512
_log = logging.getLogger("sidecar.sds")


class SdsMetrics:
    """The counters of SDS."""

    def __init__(self, now: Now = wall_seconds) -> None:
        self._now = now
        self.refusals: deque[SdsRefusal] = deque(maxlen=KEPT_REFUSALS)
        """The last refusals, Envoy's and ours."""
        self._streams = 0
        self._pushed = 0
        self._nacks = 0
        self._peers_refused = 0
        self._peers_cut_off = 0

    def refuse_peer(self, peer: Peer) -> None:
        """Count a refused process; log it each time the number has doubled."""
        self._peers_refused += 1
        self._note(f"process {peer.pid} of user {peer.uid}", "may not fetch secrets", by_us=True)
        if self._peers_refused & (self._peers_refused - 1) == 0:
            _log.error(
                "process %d of user %d may not fetch secrets: allow its user or group in "
                "listen.sds.peer_uids or peer_gids, unless it is a child of the sidecar, which "
                "never may; %d denied by now",
                peer.pid,
                peer.uid,
                self._peers_refused,
            )

    def refuse_remote(self, host: str, reason: str) -> None:
        """Count a connection that was refused; log it each time the number has doubled."""
        self._peers_refused += 1
        self._note(host, reason, by_us=True)
        if self._peers_refused & (self._peers_refused - 1) == 0:
            _log.error(
                "a connection from %s may not fetch secrets: %s (listen.sds.mtls); %d denied by "
                "now",
                host,
                printable(reason),
                self._peers_refused,
            )

    def cut_off(self, peer: str, reason: str) -> None:
        """Count and log a connection that was ended: its peer would not be let in now."""
        self._peers_cut_off += 1
        self._note(peer, reason, by_us=True)
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
        self._note(node, message, by_us=False)
        _log.error("Envoy %s rejected a secret: %s", node[:128], message)

    def _note(self, peer: str, why: str, *, by_us: bool) -> None:
        self.refusals.append(SdsRefusal(self._now(), peer[:128], why[:_MAX_WORDS], by_us))

    def panel(self, ask: Ask) -> Panel:
        """Return what the operator's page says of Envoys."""
        return envoys_panel(self._streams, self._pushed, self.refusals, ask)

    def families(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield gauge("septem_sds_streams", "Open SDS streams", self._streams)
        yield counter("septem_sds_resources_pushed", "Secrets sent", self._pushed)
        yield counter("septem_sds_nacks", "Secrets that Envoy rejected", self._nacks)
        yield counter(
            "septem_sds_peers_refused",
            "Connections that were denied",
            self._peers_refused,
        )
        yield counter(
            "septem_sds_peers_cut_off",
            "Connections over mTLS that were ended: the peer would not be let in any more",
            self._peers_cut_off,
        )
