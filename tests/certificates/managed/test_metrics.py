"""What certificates count, as Prometheus reads it."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client.core import Metric

from sidecar.certificates.issuers.fallback import FallbackIssuer
from sidecar.certificates.managed.metrics import dns01_families, families, issuer_families
from sidecar.certificates.managed.probe import Prober
from sidecar.certificates.managed.renewal import Level
from sidecar.common.clock import monotonic_seconds
from tests.support.managed_world import WANTED, Nobody, World


def samples(shown: Iterable[Metric]) -> dict[tuple[str, ...], float]:
    """Every sample: its name, and the values of its labels."""
    return {
        (sample.name.removeprefix("septem_"), *sample.labels.values()): sample.value
        for family in shown
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


async def test_what_is_managed() -> None:
    world = World(WANTED, WANTED._replace(name="other"))
    await world.manager.obtain_all()
    await world.manager.obtain(WANTED._replace(name="on-demand"), world)
    prober = Prober(
        {},
        world.store,
        clock=monotonic_seconds,
        now=lambda: 0.0,
        sleep=world.sleep,
        on_change=lambda *_: None,
    )
    prober.outcomes["mismatch"] = 2
    world.manager.failures = 4
    for name, level in (("other", Level.ENDED), ("on-demand", Level.WARNING)):
        managed = world.manager.get(name)
        assert managed is not None
        managed.level = level
    shown = families(world.manager, world.store, prober, configured={"edge", "other"})
    assert samples(shown) == {
        ("certificate_not_after_timestamp_seconds", "edge"): 3600.0,
        ("certificate_not_after_timestamp_seconds", "other"): 3600.0,
        ("certificate_renewal_failures_total",): 4.0,
        ("certificate_renewals_total",): 3.0,
        ("certificates", "fresh"): 1.0,
        ("certificates", "warning"): 1.0,
        ("certificates", "critical"): 0.0,
        ("certificates", "ended"): 1.0,
        ("certificate_probes_total", "match"): 0.0,
        ("certificate_probes_total", "mismatch"): 2.0,
    }, "a name on demand is no label: clients choose it"


def counting(name: str, **counts: object) -> Any:
    """An issuer, as far as its counters are read."""
    return cast("Any", SimpleNamespace(name=name, **counts))


def test_what_issuers_count() -> None:
    fallback = FallbackIssuer(Nobody(), Nobody())
    fallback.fell_back = 5
    shown = issuer_families(
        [counting("shared", found=3, ordered=1)],
        [counting("public", outcomes={"ok": 2, "rateLimited": 7})],
        [fallback],
    )
    assert samples(shown) == {
        ("fleet_certificates_total", "shared", "store"): 3.0,
        ("fleet_certificates_total", "shared", "order"): 1.0,
        ("acme_orders_total", "public", "ok"): 2.0,
        ("acme_orders_total", "public", "rateLimited"): 7.0,
        ("certificate_fallbacks_total", "internal"): 5.0,
    }


def test_what_dns_01_counts() -> None:
    solver = counting(
        "public", outcomes={"ok": 2, "refused": 1}, left_behind=4, propagation_seconds=1.5
    )
    assert samples(dns01_families({"public": solver})) == {
        ("dns01_challenges_total", "public", "ok"): 2.0,
        ("dns01_challenges_total", "public", "refused"): 1.0,
        ("dns01_values_left_total", "public"): 4.0,
        ("dns01_propagation_seconds_total", "public"): 1.5,
    }
    assert list(dns01_families({})) == [], "nothing without such an issuer"
