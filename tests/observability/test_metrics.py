"""The metrics, as Prometheus reads them."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from sidecar.observability.counters import Exemplar
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


def test_openmetrics_has_exemplars_and_the_other_format_none() -> None:
    metrics = Metrics()
    for microseconds, value in ((40, "request-1"), (10**9, "request-2")):
        metrics.counters.count_check("deny", "token_expired", "api", microseconds)
        metrics.counters.show(Exemplar("request_id", value, microseconds, 1_700_000_000.1234))
    text = metrics.render(openmetrics=True).decode()
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    shown = {
        sample.labels["le"]: sample.exemplar
        for family in families
        for sample in family.samples
        if sample.name == "septem_check_duration_seconds_bucket" and sample.exemplar
    }
    assert {le: (each.labels, each.value) for le, each in shown.items()} == {
        "5e-05": ({"request_id": "request-1"}, 4e-05),
        "+Inf": ({"request_id": "request-2"}, 1000.0),
    }
    assert float(shown["+Inf"].timestamp) == 1_700_000_000.123
    assert "request-1" not in metrics.render().decode()
