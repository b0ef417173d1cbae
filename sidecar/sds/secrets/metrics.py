"""The metrics of polled secrets."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sidecar.sds.secrets.poller import SecretPoller, SourceStatus


def polled_families(poller: SecretPoller, now: Callable[[], float]) -> Iterator[Metric]:
    """Yield the state, the age, the reads and the end of each polled secret."""
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
    for secret in poller.secrets:
        name = [secret.source.kind, secret.source.name]
        for each in SourceStatus:
            state.add_metric([*name, each], float(each is secret.state))
        if secret.read_at is not None:
            age.add_metric(name, now() - secret.read_at)
        if secret.held is not None and secret.held.ends_at is not None:
            ends.add_metric(name, secret.held.ends_at)
        for outcome, count in secret.outcomes.items():
            reads.add_metric([*name, outcome], count)
    yield from (state, age, ends, reads)
