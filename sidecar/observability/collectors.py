"""The rooms' own numbers as Prometheus families.

Rooms know nothing of metrics; the runtime joins them here.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sidecar.common.polling import PollStatus
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.refresher import KeyRefresher
from sidecar.keys.revocation_poller import RevocationPoller
from sidecar.module_signing.refresher import PublisherRefresher
from sidecar.observability.alerts import Alerts, Webhook
from sidecar.observability.audit import AuditLog
from sidecar.observability.metrics import counter, gauge
from sidecar.sds.secrets.poller import SecretPoller, SourceStatus
from sidecar.transport.peers import Peer

_log = logging.getLogger("sidecar.sds")


def audit_families(audit: AuditLog) -> Iterator[Metric]:
    """Tell how the audit log does."""
    yield counter("septem_audit_lines_written", "Audit lines written", audit.written)
    yield counter("septem_audit_lines_dropped", "Audit lines lost to a full queue", audit.dropped)
    yield counter("septem_audit_write_errors", "Failed writes of audit lines", audit.errors)
    yield gauge("septem_audit_lines_queued", "Audit lines that wait", audit.queued)


def key_families(refresher: KeyRefresher, clock: Callable[[], float]) -> Iterator[Metric]:
    """Tell the state of the keys, their age, their number, and how refreshes went."""
    state = GaugeMetricFamily("septem_key_state", "1 for the state of the keys", labels=["state"])
    for each in KeyState:
        state.add_metric([each], float(each is refresher.view.state))
    yield state
    age = GaugeMetricFamily(
        "septem_key_age_seconds", "Seconds since a source was last read", labels=["source"]
    )
    refreshes = CounterMetricFamily(
        "septem_key_refreshes", "Refreshes of keys", labels=["source", "outcome"]
    )
    for part in refresher.parts:
        age.add_metric([part.name], part.lifecycle.age_seconds(clock()))
        for outcome, count in part.outcomes.items():
            refreshes.add_metric([part.name, outcome], count)
    yield age
    yield refreshes
    keys = GaugeMetricFamily("septem_keys", "Keys that verify", labels=["issuer"])
    counts: dict[str, int] = {}
    for key in refresher.view.ring:
        counts[str(key.issuer)] = counts.get(str(key.issuer), 0) + 1
    for issuer, count in counts.items():
        keys.add_metric([issuer], count)
    yield keys


def revocation_families(poller: RevocationPoller, clock: Callable[[], float]) -> Iterator[Metric]:
    """Tell the state of what is revoked, its age and number, and how reads went."""
    lifecycle = poller.lifecycle
    state = GaugeMetricFamily(
        "septem_revocation_state", "1 for the state of the revocations", labels=["state"]
    )
    for each in KeyState:
        state.add_metric([each], float(each is lifecycle.state))
    yield state
    yield gauge(
        "septem_revocation_age_seconds",
        "Seconds since the revocations were last read",
        lifecycle.age_seconds(clock()),
    )
    refreshes = CounterMetricFamily(
        "septem_revocation_refreshes", "Refreshes of the revocations", labels=["outcome"]
    )
    for outcome, count in poller.status.outcomes.items():
        refreshes.add_metric([outcome], count)
    yield refreshes
    yield gauge("septem_revocations", "Revocations held", len(poller.revocations))


def poll_families(polls: Iterable[PollStatus]) -> Iterator[Metric]:
    """Tell how each polled source is, and how its reads went."""
    failing = GaugeMetricFamily(
        "septem_poll_failing", "1 while a polled source can't be read", labels=["source"]
    )
    reads = CounterMetricFamily(
        "septem_polls", "Reads of polled sources", labels=["source", "outcome"]
    )
    for status in polls:
        failing.add_metric([status.part], float(bool(status.problem)))
        for outcome, count in status.outcomes.items():
            reads.add_metric([status.part, outcome], count)
    yield failing
    yield reads


def publisher_families(
    refresher: PublisherRefresher, clock: Callable[[], float]
) -> Iterator[Metric]:
    """Tell how many publishers' keys there are, how old that is, and how refreshes went."""
    yield gauge("septem_publisher_keys", "Publishers' keys", len(refresher.publishers))
    yield gauge(
        "septem_publisher_age_seconds",
        "Seconds since the publishers were last read",
        refresher.lifecycle.age_seconds(clock()),
    )
    refreshes = CounterMetricFamily(
        "septem_publisher_refreshes", "Refreshes of the publishers", labels=["outcome"]
    )
    for outcome, count in refresher.outcomes.items():
        refreshes.add_metric([outcome], count)
    yield refreshes


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


def vault_families(expires_at: float | None, now: float) -> Iterator[Metric]:
    """Tell how long our own token of Vault still lives, where that is known."""
    if expires_at is not None:
        yield gauge(
            "septem_vault_token_expires_in_seconds", "Life left of our token", expires_at - now
        )


def alert_families(alerts: Alerts, webhook: Webhook | None) -> Iterator[Metric]:
    """Tell what was said, and what the webhook took."""
    said = CounterMetricFamily("septem_alerts", "Alerts said", labels=["severity"])
    for severity, count in alerts.said.items():
        said.add_metric([severity], count)
    yield said
    yield counter("septem_alerts_dropped", "Alerts the webhook never took", alerts.dropped)
    if webhook is not None:
        yield counter("septem_alerts_delivered", "Alerts the webhook took", webhook.delivered)
        yield counter("septem_alert_delivery_failures", "Failed deliveries", webhook.failed)


def certificate_families(held: Iterable[tuple[str, float]], failures: int) -> Iterator[Metric]:
    """Tell when certificates end."""
    family = GaugeMetricFamily(
        "septem_certificate_not_after_timestamp_seconds", "End of a certificate", labels=["name"]
    )
    for name, not_after in held:
        family.add_metric([name], not_after)
    yield family
    yield counter("septem_certificate_renewal_failures", "Renewals that failed", failures)


def polled_families(keeper: SecretPoller, now: Callable[[], float]) -> Iterator[Metric]:
    """Tell of each polled secret: its state, its age, how reads went, and when it ends."""
    labels = ["kind", "name"]
    state = GaugeMetricFamily(
        "septem_secret_state", "1 for the state of a polled secret", labels=[*labels, "state"]
    )
    age = GaugeMetricFamily("septem_secret_age_seconds", "Since it was last read", labels=labels)
    ends = GaugeMetricFamily(
        "septem_secret_ends_timestamp_seconds", "End of a CRL or of the last root", labels=labels
    )
    reads = CounterMetricFamily(
        "septem_secret_reads", "Reads of polled secrets", labels=[*labels, "outcome"]
    )
    for part in keeper.parts:
        name = [part.source.kind, part.source.name]
        for each in SourceStatus:
            state.add_metric([*name, each], float(each is part.state))
        if part.read_at is not None:
            age.add_metric(name, now() - part.read_at)
        if part.held is not None and part.held.ends_at is not None:
            ends.add_metric(name, part.held.ends_at)
        for outcome, count in part.outcomes.items():
            reads.add_metric([*name, outcome], count)
    yield from (state, age, ends, reads)


class SdsMetrics:
    """What SDS counts."""

    def __init__(self) -> None:
        self._streams = 0
        self._pushed = 0
        self._nacks = 0
        self._peers_refused = 0

    def refuse_peer(self, peer: Peer) -> None:
        """Count a process that may not fetch secrets; log it each time their number doubles."""
        self._peers_refused += 1
        if self._peers_refused & (self._peers_refused - 1) == 0:
            _log.error(
                "process %d of user %d may not fetch secrets (listen.sds.peer_uids, peer_gids; "
                "and no child of ours may); %d refused by now",
                peer.pid,
                peer.uid,
                self._peers_refused,
            )

    def streams(self, count: int) -> None:
        """Take note of how many streams there are."""
        self._streams = count

    def push(self, count: int) -> None:
        """Count resources that were sent."""
        self._pushed += count

    def nack(self, node: str, message: str) -> None:
        """Count and log a refusal, in Envoy's words."""
        self._nacks += 1
        _log.error("Envoy %s refuses a secret: %s", node[:128], message)

    def families(self) -> Iterator[Metric]:
        """Tell it."""
        yield gauge("septem_sds_streams", "Open SDS streams", self._streams)
        yield counter("septem_sds_resources_pushed", "Secrets sent", self._pushed)
        yield counter("septem_sds_nacks", "Secrets that Envoy refused", self._nacks)
        yield counter(
            "septem_sds_peers_refused", "Connections of processes not let in", self._peers_refused
        )
