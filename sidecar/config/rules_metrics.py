"""The rules of the listener for metrics: who may scrape from another host must show who it is."""

from collections.abc import Iterator

from sidecar.config.listen import ManagedTls
from sidecar.config.model import Config
from sidecar.config.problem import Path, Problem
from sidecar.config.rules_sds import bundle_of, named_problems

_WHERE: Path = ("listen", "metrics")
_TLS: Path = (*_WHERE, "tls")


def check_metrics(config: Config) -> Iterator[Problem]:
    """Yield names that are none, and an address that can't speak TLS."""
    metrics = config.listen.metrics
    if metrics is None:
        return
    if metrics.address.startswith("unix:"):
        yield Problem(
            (*_WHERE, "address"),
            "must be host:port, because it speaks TLS: on this machine listen.admin has /metrics",
        )
    if isinstance(metrics.tls, ManagedTls):
        yield from named_problems(config, _TLS, metrics.tls.certificate, metrics.tls.trust_bundle)


def metrics_warnings(config: Config) -> Iterator[Problem]:
    """Yield a trust bundle that lets everybody of its roots scrape."""
    metrics = config.listen.metrics
    if metrics is None or not isinstance(metrics.tls, ManagedTls):
        return
    bundle = bundle_of(config, metrics.tls.trust_bundle)
    if bundle is not None and not bundle.peers:
        yield Problem(
            ("trust_bundles", config.trust_bundles.index(bundle), "peers"),
            "is empty, and listen.metrics.tls uses it: whoever has a certificate of its roots may "
            "read all metrics; list who scrapes, or use a CA that certifies nobody else",
        )
