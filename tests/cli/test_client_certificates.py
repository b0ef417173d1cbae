"""The certificate of a recorded client has the one name that is meant."""

from urllib.parse import unquote

import pytest
from cryptography import x509

from sidecar.cli.client_certificates import forwarded_certificate
from workload.x509.identities import NoIdentity, read_peer

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("principal", "spiffe_id", "dns_names"),
    [("spiffe://d/a", "spiffe://d/a", ()), ("db.internal", None, ("db.internal",))],
)
def test_its_one_name(principal: str, spiffe_id: str | None, dns_names: tuple[str, ...]) -> None:
    pem = unquote(forwarded_certificate(principal, NOW))
    certificate = x509.load_pem_x509_certificate(pem.encode())
    assert read_peer(certificate)[:2] == (spiffe_id, dns_names)
    assert certificate.not_valid_before_utc.timestamp() < NOW
    assert certificate.not_valid_after_utc.timestamp() > NOW


def test_a_subject_is_no_name() -> None:
    pem = unquote(forwarded_certificate("CN=db.internal", NOW))
    with pytest.raises(NoIdentity, match="no names"):
        read_peer(x509.load_pem_x509_certificate(pem.encode()))


def test_what_no_certificate_can_hold() -> None:
    with pytest.raises(ValueError, match=r"A-label|ASCII|ascii"):
        forwarded_certificate("spiffe://d/ä", NOW)
