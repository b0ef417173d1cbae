"""What a request for a certificate says, and what can't be asked for."""

from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from workload.x509.csr import CsrFault, make_csr

KEY = ec.generate_private_key(ec.SECP256R1())
LONG = "a" * 60 + ".septemcore.com"


def read_csr(names: Sequence[str]) -> tuple[str, list[str]]:
    request = x509.load_pem_x509_csr(make_csr(KEY, names).encode())
    assert request.is_signature_valid
    assert request.public_key() == KEY.public_key()
    sans = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return request.subject.rfc4514_string(), sans.get_values_for_type(x509.DNSName)


@pytest.mark.parametrize(
    ("names", "subject"),
    [(["a.example"], "CN=a.example"), (["*.a.example", "b.example"], "CN=*.a.example"),
     ([LONG], "")],
)  # fmt: skip
def test_a_csr(names: list[str], subject: str) -> None:
    assert read_csr(names) == (subject, names)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_address_is_no_name(address: str) -> None:
    with pytest.raises(CsrFault, match="is an address"):
        make_csr(KEY, ["a.example", address])


def test_without_a_name_there_is_nothing_to_ask_for() -> None:
    with pytest.raises(CsrFault, match="no name"):
        make_csr(KEY, [])
