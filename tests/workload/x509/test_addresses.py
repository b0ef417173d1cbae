"""Certificates for IP addresses: what is certified is compared as addresses, not as text."""

from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.workload.x509.test_material import CA, KEY, NOW, SUBJECT, pem
from workload.x509.addresses import check_addresses, read_addresses
from workload.x509.csr import make_csr
from workload.x509.material import Material, MaterialFault, check_material


def material(*, with_names: bool = True) -> Material:
    names = ["a.example"] if with_names else []
    return check_material(pem(CA.sign(KEY, SUBJECT, names), CA.root), KEY, names, NOW.timestamp())


def test_one_without_the_addresses_is_refused() -> None:
    for given in (material(), material(with_names=False)):
        with pytest.raises(MaterialFault, match=r"does not cover 10\.0\.0\.1, 2001:db8::1"):
            check_addresses(given, ["10.0.0.1", "2001:DB8:0::1"])
        assert check_addresses(given, []) is given, "who wants none is not asked"


def test_a_request_has_them_as_addresses() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.load_pem_x509_csr(make_csr(key, [], (), ["10.0.0.1", "2001:DB8::1"]).encode())
    sans = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sans.get_values_for_type(x509.IPAddress) == list(
        read_addresses(["10.0.0.1", "2001:db8::1"])
    )
    assert sans.get_values_for_type(x509.DNSName) == []
    assert read_addresses(["::1"]) == (ip_address("::1"),)
