"""The metrics, as Prometheus reads them."""

from sidecar.observability.metrics import Metrics, gauge
from tests.observability.rendered import Samples, read


def samples(metrics: Metrics) -> Samples:
    return read(metrics.render())


def test_checks_are_counted_by_outcome_reason_and_route() -> None:
    metrics = Metrics()
    for latency_us in (40, 50, 51, 10**9):
        metrics.counters.count_check("deny", "token_expired", "api", latency_us)
    metrics.counters.count_check("allow", "public", "assets", 10)
    found = samples(metrics)
    key = ("septem_checks_total", "outcome=deny", "reason=token_expired", "route=api")
    assert found[key] == 4
    bucket = "septem_check_duration_seconds_bucket"
    assert found[bucket, "le=5e-05"] == 3
    assert found[bucket, "le=0.0001"] == 4
    assert found[bucket, "le=+Inf"] == 5
    assert found["septem_check_duration_seconds_count",] == 5
    assert abs(found["septem_check_duration_seconds_sum",] - 1000.000151) < 1e-6


def test_vault_calls_faults_and_other_sources() -> None:
    metrics = Metrics()
    metrics.count_vault_call("kv_read", "ok", 0.002)
    metrics.count_vault_call("kv_read", "VaultSealed", 0.5)
    metrics.count_fault()
    metrics.add_source(lambda: [gauge("septem_keys", "Keys", 2)])
    found = samples(metrics)
    assert found["septem_vault_calls_total", "operation=kv_read", "outcome=VaultSealed"] == 1
    assert found["septem_vault_call_duration_seconds_bucket", "le=0.005", "operation=kv_read"] == 1
    assert found["septem_internal_faults_total",] == 1
    assert found["septem_keys",] == 2
    assert found["process_resident_memory_bytes",] > 0
