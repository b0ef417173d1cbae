"""What Envoy or its clients would refuse is refused where it is issued or stored."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.support.odd_certificates import CASES, CLIENT, Case, odd, self_signed, usage
from workload.x509.servable import NotServable, check_servable, is_servable_key

KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize("case", CASES, ids=[each.name for each in CASES])
def test_what_is_servable(case: Case) -> None:
    leaf = x509.load_pem_x509_certificate(case.made.certificate)
    assert is_servable_key(load_pem_private_key(case.made.key, None)), "the key alone would pass"
    if not case.ours:
        check_servable(leaf, for_hosts=True)
        return
    with pytest.raises(NotServable, match=case.ours):
        check_servable(leaf, for_hosts=True)


def test_a_service_s_certificate_may_be_for_clients_alone() -> None:
    """Envoy shows it to those it calls."""
    made = odd(KEY, (x509.ExtendedKeyUsage([CLIENT]), False))
    check_servable(x509.load_pem_x509_certificate(made.certificate), for_hosts=False)


def test_several_usages_with_a_signature_among_them() -> None:
    made = self_signed(KEY, [], [(usage("digital_signature", "key_encipherment"), True)])
    check_servable(made, for_hosts=True)


KEYS = [
    ("P-256", KEY, True),
    ("P-384", ec.generate_private_key(ec.SECP384R1()), True),
    ("P-521", ec.generate_private_key(ec.SECP521R1()), False),
    ("RSA 2048", rsa.generate_private_key(65537, 2048), True),
    ("RSA 1024", rsa.generate_private_key(65537, 1024), False),  # noqa: S505 - refused
    ("Ed25519", ed25519.Ed25519PrivateKey.generate(), False),
    ("no key", None, False),
]


@pytest.mark.parametrize(("key", "servable"), [k[1:] for k in KEYS], ids=[k[0] for k in KEYS])
def test_which_keys(key: object, servable: bool) -> None:
    assert is_servable_key(key) is servable


def test_the_table_has_both_kinds() -> None:
    assert {bool(each.ours) for each in CASES} == {True, False}
    assert sum(bool(each.envoy) for each in CASES) >= 4
