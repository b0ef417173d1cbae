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


def uri(value: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(value)


AT = NOW.timestamp() + 60
ONE = certificate(uri(WEB))
BOTH = certificate(uri(WEB), x509.DNSName(API))
SPELT = certificate(uri("spiffe://septem/ns/other"), x509.DNSName(WEB))
ALLOWED = [
    ("its SPIFFE ID", WEB, ONE, [WEB]),
    ("below a prefix", WEB, ONE, ["spiffe://septem/ns/edge/*"]),
    ("its DNS name, beside an ID", WEB, BOTH, [API]),
    ("where Envoy names nobody", "", BOTH, [WEB]),
    ("a DNS name in capital letters", "", certificate(x509.DNSName("API.Internal")), [API]),
]
REFUSED = [
    ("nothing", "", "", [WEB], Reason.CLIENT_CERTIFICATE_MISSING),
    ("a name without its certificate", WEB, "", [WEB], Reason.CLIENT_CERTIFICATE_MISSING),
    ("another name", WEB, BOTH, ["spiffe://septem/ns/edge/sa/other"], Reason.CLIENT_NOT_ALLOWED),
    ("an ID as a DNS name", WEB, SPELT, [WEB], Reason.CLIENT_NOT_ALLOWED),
    ("an ID as its only name, DNS", WEB, certificate(x509.DNSName(WEB)), [WEB],
     Reason.CLIENT_NOT_ALLOWED),
    ("two IDs", WEB, certificate(uri(WEB), uri("spiffe://septem/b")), [WEB],
     Reason.CLIENT_NOT_ALLOWED),
    ("an ID and another URI", WEB, certificate(uri(WEB), uri("https://septem")), [WEB],
     Reason.CLIENT_NOT_ALLOWED),
    ("a subject spelt like a name", "CN=api.internal", certificate(uri(WEB)), [API],
     Reason.CLIENT_NOT_ALLOWED),
    ("a certificate that is none", "", "garbage%0A", [WEB], Reason.CLIENT_NOT_ALLOWED),
    ("a name that climbs", "", certificate(uri("spiffe://septem/ns/edge/../x/y")),
     ["spiffe://septem/ns/edge/*"], Reason.CLIENT_NOT_ALLOWED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("principal", "pem", "allowed"), [a[1:] for a in ALLOWED], ids=[a[0] for a in ALLOWED]
)
def test_who_may(principal: str, pem: str, allowed: list[str]) -> None:
    check_client(principal, pem, allowed, AT)


@pytest.mark.parametrize(
    ("principal", "pem", "allowed", "reason"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_who_may_not(principal: str, pem: str, allowed: list[str], reason: Reason) -> None:
    with pytest.raises(Denied) as denied:
        check_client(principal, pem, allowed, AT)
    assert denied.value.reason is reason


@pytest.mark.parametrize(
    ("at", "valid"),
    [(AT, True), (AT - 100, True), (AT - 300, False), (AT + 86_000, True), (AT + 86_400, False)],
)
def test_a_connection_outlives_its_certificate_and_gets_nothing_by_it(
    at: float, valid: bool
) -> None:
    if valid:
        check_client("", ONE, [WEB], at)
        return
    with pytest.raises(Denied, match="not valid now"):
        check_client("", ONE, [WEB], at)


def test_the_certificate_is_read_from_the_message() -> None:
    from envoy_data_plane.envoy.service.auth.v3 import (  # noqa: PLC0415
        AttributeContext,
        AttributeContextPeer,
        CheckRequest,
    )

    peer = AttributeContextPeer(principal=WEB, certificate=BOTH)
    view = view_of(parse_request(bytes(CheckRequest(attributes=AttributeContext(source=peer)))))
    assert (view.principal, view.certificate) == (WEB, BOTH)
