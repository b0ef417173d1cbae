"""Who a client's certificate says it is, read from what Envoy sends of it."""

from datetime import timedelta
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.authz.encoding.request import parse_request, view_of
from sidecar.authz.requirements import check_client
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from tests.workload.x509.test_material import CA, KEY, NOW, SUBJECT

WEB, API = "spiffe://septem/ns/edge/sa/web", "api.internal"


def certificate(*names: x509.GeneralName) -> str:
    """A certificate of these names, as Envoy forwards it."""
    signed = (
        x509.CertificateBuilder()
        .issuer_name(CA.name)
        .subject_name(SUBJECT)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(CA.key, hashes.SHA256())
    )
    return quote(signed.public_bytes(Encoding.PEM).decode(), safe="")


BOTH = certificate(x509.UniformResourceIdentifier(WEB), x509.DNSName(API))
ALLOWED = [
    ("the principal", WEB, "", [WEB]),
    ("the principal, by a prefix", WEB, "", ["spiffe://septem/ns/edge/*"]),
    ("a second name of the certificate", WEB, BOTH, [API]),
    ("the certificate alone", "", BOTH, [WEB]),
]
REFUSED = [
    ("nothing", "", "", [WEB], Reason.CLIENT_CERTIFICATE_MISSING),
    ("another name", WEB, BOTH, ["spiffe://septem/ns/edge/sa/other"], Reason.CLIENT_NOT_ALLOWED),
    ("a subject spelt like a name", "CN=api.internal", "", [API], Reason.CLIENT_NOT_ALLOWED),
    ("a certificate that is none", "", "garbage%0A", [WEB], Reason.CLIENT_NOT_ALLOWED),
    ("a name that climbs", "spiffe://septem/ns/edge/../x/y", "", ["spiffe://septem/ns/edge/*"],
     Reason.CLIENT_NOT_ALLOWED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("principal", "pem", "allowed"), [a[1:] for a in ALLOWED], ids=[a[0] for a in ALLOWED]
)
def test_who_may(principal: str, pem: str, allowed: list[str]) -> None:
    check_client(principal, pem, allowed)


@pytest.mark.parametrize(
    ("principal", "pem", "allowed", "reason"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_who_may_not(principal: str, pem: str, allowed: list[str], reason: Reason) -> None:
    with pytest.raises(Denied) as denied:
        check_client(principal, pem, allowed)
    assert denied.value.reason is reason


def test_the_certificate_is_read_from_the_message() -> None:
    from envoy_data_plane.envoy.service.auth.v3 import (  # noqa: PLC0415
        AttributeContext,
        AttributeContextPeer,
        CheckRequest,
    )

    peer = AttributeContextPeer(principal=WEB, certificate=BOTH)
    view = view_of(parse_request(bytes(CheckRequest(attributes=AttributeContext(source=peer)))))
    assert (view.principal, view.certificate) == (WEB, BOTH)
