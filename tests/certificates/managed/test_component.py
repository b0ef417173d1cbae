"""What the certificates' component joins: here, that what issuers count is shown."""

from sidecar.certificates.managed.component import Certificates
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import parse_config
from sidecar.observability.alerts import Alerts
from sidecar.vault.client import VaultClient
from tests.config.test_certificates import GOOD


def test_certificates_of_a_second_ca_are_counted_by_issuer() -> None:
    config = parse_config(dict(GOOD)["acme and a second CA"], "test.yaml")
    vault = VaultClient(config.vault, clock=monotonic_seconds)
    certificates = Certificates(config, vault, Alerts(wall_seconds, with_webhook=False))
    (issuer,) = certificates._parts.factory.fallbacks
    issuer.fell_back = 3
    shown = {
        (sample.name, sample.labels["issuer"]): sample.value
        for family in certificates.families()
        for sample in family.samples
        if "issuer" in sample.labels
    }
    assert shown["septem_certificate_fallbacks_total", "public"] == 3.0
    certificates.close()
