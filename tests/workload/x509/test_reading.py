"""Whatever stands in a certificate: it is read, or refused by one fault, and never by another."""

import warnings

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.authorities import Ca
from tests.support.certificate_parsers import read_everything
from tests.support.odd_certificates import (
    OCTET_STRING,
    STAPLE,
    UNKNOWN,
    X400_ADDRESS,
    self_signed,
    tlv,
    with_extension_value,
    with_san,
)
from workload.x509.reading import (
    CertificateUnreadable,
    find_extension,
    has_signed_crl,
    is_self_signed,
    is_signed_by,
    load_chain,
    name_of,
    public_key_der,
    unknown_critical,
)

KEY = ec.generate_private_key(ec.SECP256R1())
CONSTRAINTS = x509.NameConstraints([x509.DNSName("a.example")], None)
GOOD = self_signed(KEY, [x509.DNSName("a.example")], [(CONSTRAINTS, True), (UNKNOWN, True)])
DER = GOOD.public_bytes(Encoding.DER)
CA, NAMESAKE = Ca("a"), Ca("a")
CRL = CA.crl([7])


def with_constraints(content: str) -> x509.Certificate:
    old = tlv(OCTET_STRING, CONSTRAINTS.public_bytes())
    new = tlv(OCTET_STRING, bytes.fromhex(content))
    return x509.load_der_x509_certificate(with_extension_value(GOOD, old, new, KEY))


UNREADABLE = [
    ("a constraint of five bytes", with_constraints("3000 a009 3007 8705 0102030405")),
    ("a constraint of garbage", with_constraints("ffff")),
    ("an x400Address", x509.load_der_x509_certificate(with_san(GOOD, X400_ADDRESS, KEY))),
    ("a TLS feature that nobody has", x509.load_der_x509_certificate(
        with_extension_value(
            self_signed(KEY, [], [(STAPLE, False)]), tlv(OCTET_STRING, STAPLE.public_bytes()),
            tlv(OCTET_STRING, bytes.fromhex("300302015b")), KEY))),
    ("an address of five bytes", x509.load_der_x509_certificate(
        with_san(GOOD, bytes.fromhex("87050102030405"), KEY))),
]  # fmt: skip


@pytest.mark.parametrize("odd", [u[1] for u in UNREADABLE], ids=[u[0] for u in UNREADABLE])
def test_what_can_t_be_read_is_one_fault(odd: x509.Certificate) -> None:
    """Of any extension: what is not understood may be a constraint."""
    with pytest.raises(CertificateUnreadable):
        find_extension(odd, x509.SubjectAlternativeName)
    with pytest.raises(CertificateUnreadable):
        unknown_critical(odd)


def test_what_is_there_and_what_is_not() -> None:
    sans = find_extension(GOOD, x509.SubjectAlternativeName)
    assert sans is not None
    assert sans.get_values_for_type(x509.DNSName) == ["a.example"]
    assert find_extension(GOOD, x509.KeyUsage) is None
    assert unknown_critical(GOOD) == (UNKNOWN.oid.dotted_string,)
    assert name_of(GOOD) == "CN=a.example"
    assert public_key_der(GOOD) in GOOD.tbs_certificate_bytes


def test_who_signed_is_known_by_name_and_key() -> None:
    leaf, _ = CA.leaf("spiffe://d/a")
    assert is_signed_by(leaf, CA.certificate)
    assert not is_signed_by(leaf, NAMESAKE.certificate)
    assert is_self_signed(CA.certificate)
    assert not is_self_signed(leaf)
    assert has_signed_crl(CA.certificate, CRL)
    assert not has_signed_crl(NAMESAKE.certificate, CRL)
    assert not has_signed_crl(Ca("b").certificate, CRL)


@pytest.mark.parametrize("text", ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_text_that_holds_no_certificate(text: str) -> None:
    with pytest.raises(CertificateUnreadable):
        load_chain(text)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A certificate or a CRL in which some bytes are others."""
    raw = bytearray(draw(st.sampled_from([DER, CRL.public_bytes(Encoding.DER)])))
    for _ in range(draw(st.integers(1, 4))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(raw)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@example(DER)
@example(CRL.public_bytes(Encoding.DER))
@given(mutated())
def test_no_exception_leaves_a_parser(der: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library, about what it will not read one day
        read_everything(der)


def test_the_reader_of_everything_reads() -> None:
    """Were it to stop at once, the test above would say nothing."""
    for der in (DER, CRL.public_bytes(Encoding.DER), b"nonsense"):
        assert read_everything(der) is (der == DER)
