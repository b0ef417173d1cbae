"""The metrics of keys, revocations and their sources."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sidecar.keys.lifecycle import KeyState
from sidecar.keys.refresher import KeyRefresher
from sidecar.keys.revocation_poller import RevocationPoller
from sidecar.observability.metrics import gauge


def key_families(refresher: KeyRefresher, clock: Callable[[], float]) -> Iterator[Metric]:
    """Yield the state, age and number of the keys, and the outcomes of refreshes."""
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
    skipped = GaugeMetricFamily(
        "septem_keys_skipped",
        "Keys that a source lists and that are not used",
        labels=["source", "reason"],
    )
    for source in refresher.statuses:
        for reason, number in source.skipped.counts().items():
            skipped.add_metric([source.name, reason], number)
        age.add_metric([source.name], source.lifecycle.age_seconds(clock()))
        for outcome, count in source.outcomes.items():
            refreshes.add_metric([source.name, outcome], count)
    yield age
    yield refreshes
    yield skipped
    keys = GaugeMetricFamily("septem_keys", "Keys that verify", labels=["issuer"])
    counts: dict[str, int] = {}
    for key in refresher.view.ring:
        counts[str(key.issuer)] = counts.get(str(key.issuer), 0) + 1
    for issuer, count in counts.items():
        keys.add_metric([issuer], count)
    yield keys


def revocation_families(poller: RevocationPoller, clock: Callable[[], float]) -> Iterator[Metric]:
    """Yield the state, age and number of the revocations, and the outcomes of reads."""
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
