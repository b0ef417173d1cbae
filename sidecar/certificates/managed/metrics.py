"""What certificates count, as Prometheus families. Labels are of closed sets, or configured."""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sidecar.certificates.issuers.fallback import FallbackIssuer
from sidecar.certificates.issuers.shared import SharedIssuer
from sidecar.certificates.issuers.slots import OrderSlots
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.probe import Prober
from sidecar.certificates.managed.renewal import Level
from sidecar.certificates.managed.store import CertificateStore
from sidecar.certificates.managed.withdrawal import Withdrawal
from sidecar.observability.metrics import counter

if TYPE_CHECKING:
    from sidecar.certificates.challenges.dns01.solver import Dns01Solver
    from sidecar.certificates.issuers.acme.issuer import AcmeIssuer


def families(
    manager: CertificateManager,
    store: CertificateStore,
    prober: Prober,
    *,
    configured: Container[str],
) -> Iterator[Metric]:
    """Yield when certificates end, how renewals go, and what listeners serve."""
    yield from certificate_families(
        ((name, held.not_after) for name, held in store if name in configured), manager.failures
    )
    yield counter("septem_certificate_renewals", "Certificates obtained", manager.renewals)
    levels = GaugeMetricFamily(
        "septem_certificates", "Certificates by how near their end they are", labels=["level"]
    )
    counts = dict.fromkeys(Level, 0)
    for managed in manager:
        counts[managed.level] += 1
    for level, count in counts.items():
        levels.add_metric([level], count)
    yield levels
    probes = CounterMetricFamily(
        "septem_certificate_probes", "Listeners dialled, by whether they served what we gave",
        labels=["outcome"],
    )  # fmt: skip
    for outcome, count in prober.outcomes.items():
        probes.add_metric([outcome], count)
    yield probes


def revoked_family(
    manager: CertificateManager, withdrawal: Withdrawal, *, configured: Container[str]
) -> Metric:
    """Return which certificates are revoked and not replaced, and what Envoy serves meanwhile."""
    family = GaugeMetricFamily(
        "septem_certificate_revoked",
        "1 for a certificate that is revoked and not replaced, by what is served",
        labels=["name", "served"],
    )
    for managed in manager:
        if managed.revoked and managed.name in configured:
            instead = withdrawal.is_self_signed(managed.name)
            family.add_metric([managed.name, "self_signed" if instead else "revoked"], 1.0)
    return family


def issuer_families(
    shared: Iterable[SharedIssuer],
    acme: "Iterable[AcmeIssuer]",
    fallbacks: Iterable[FallbackIssuer],
) -> Iterator[Metric]:
    """Tell where certificates came from, and what CAs say."""
    taken = CounterMetricFamily(
        "septem_fleet_certificates", "Certificates by where they came from",
        labels=["issuer", "from"],
    )  # fmt: skip
    for each in shared:
        taken.add_metric([each.name, "store"], each.found)
        taken.add_metric([each.name, "order"], each.ordered)
    yield taken
    orders = CounterMetricFamily(
        "septem_acme_orders", "Orders at an ACME CA by outcome", labels=["issuer", "outcome"]
    )
    for issuer in acme:
        for outcome, count in issuer.outcomes.items():
            orders.add_metric([issuer.name, outcome], count)
    yield orders
    fell_back = CounterMetricFamily(
        "septem_certificate_fallbacks",
        "Certificates that the second CA issued, since the issuer's own would not",
        labels=["issuer"],
    )
    for second in fallbacks:
        fell_back.add_metric([second.name], second.fell_back)
    yield fell_back


def dns01_families(solvers: "Mapping[str, Dns01Solver]") -> Iterator[Metric]:
    """Yield how challenges in the DNS went; nothing without an issuer that uses dns-01."""
    if not solvers:
        return
    challenges = CounterMetricFamily(
        "septem_dns01_challenges", "Challenges over dns-01 by outcome", labels=["issuer", "outcome"]
    )
    left = CounterMetricFamily(
        "septem_dns01_values_left", "TXT values that could not be removed", labels=["issuer"]
    )
    seconds = CounterMetricFamily(
        "septem_dns01_propagation_seconds",
        "How long values took to be shown by every authoritative server, in total",
        labels=["issuer"],
    )
    for name, solver in solvers.items():
        for outcome, count in solver.outcomes.items():
            challenges.add_metric([name, outcome], count)
        left.add_metric([name], solver.left_behind)
        seconds.add_metric([name], solver.propagation_seconds)
    yield challenges
    yield left
    yield seconds


def order_families(slots: Mapping[str, OrderSlots]) -> Metric:
    """Return how many orders of each issuer are under way, by what they are for."""
    family = GaugeMetricFamily(
        "septem_certificate_orders_open", "Orders under way", labels=["issuer", "purpose"]
    )
    for name, held in slots.items():
        for purpose, count in held:
            family.add_metric([name, purpose], count)
    return family


def certificate_families(held: Iterable[tuple[str, float]], failures: int) -> Iterator[Metric]:
    """Yield when certificates end, and how many renewals failed."""
    family = GaugeMetricFamily(
        "septem_certificate_not_after_timestamp_seconds", "End of a certificate", labels=["name"]
    )
    for name, not_after in held:
        family.add_metric([name], not_after)
    yield family
    yield counter("septem_certificate_renewal_failures", "Renewals that failed", failures)
