"""Every parser of ours that reads certificates and CRLs of others, called with any bytes.

For the tests that mutate DER: whatever it is, the answer is a value or a ``Fault``.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key

from sidecar.authz.requirements import check_client
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.vault_kv import read_material
from sidecar.common.errors import Denied
from tests.support.authorities import Ca
from tests.support.odd_certificates import as_pem, pem_of
from workload.errors import Fault
from workload.mtls.peers import PeerPolicy
from workload.mtls.verification import verify_chain
from workload.x509.anchors import read_anchors, read_chain
from workload.x509.chains import best_path
from workload.x509.material import check_material, spki_pin
from workload.x509.reading import load_chain, name_of, unknown_critical

KEY_DER = bytes.fromhex(
    "3041020100301306072a8648ce3d020106082a8648ce3d03010704273025020101042000"
    "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)
"""A key that everyone knows, so that a corpus of certificates can be signed with it."""
_LOADED = load_der_private_key(KEY_DER, None)
assert isinstance(_LOADED, ec.EllipticCurvePrivateKey)
KEY: ec.EllipticCurvePrivateKey = _LOADED
_KEY_PEM = pem_of(KEY).decode()
_POLICY = PeerPolicy.of(["spiffe://d/*", "a.example"])
NOW = 1_790_000_000.0
_ANCHORS = read_anchors([Ca("fuzz", now=datetime.fromtimestamp(NOW, UTC)).chain], [], NOW)


def read_everything(der: bytes) -> bool:
    """Have all parsers read it; return whether it is a certificate or a CRL at all.

    Raises what leaves a parser and is no ``Fault``.
    """
    certificate = as_pem("CERTIFICATE", der).decode()
    crl = as_pem("X509 CRL", der).decode()
    readers: list[Callable[[], object]] = [
        lambda: check_material(certificate, KEY, ["a.example"], NOW),
        lambda: read_material(certificate, _KEY_PEM, Order("a", ("a.example",)), NOW),
        lambda: read_anchors([read_chain(certificate)], [], NOW),
        lambda: read_anchors([read_chain(certificate)], [crl], NOW),
        lambda: verify_chain(certificate.encode(), _ANCHORS, NOW),
        lambda: check_client("", quote(certificate), ["a.example"], NOW),
    ]
    for read in readers:
        with suppress(Fault, Denied):
            read()
    with suppress(Fault):
        (loaded,) = load_chain(certificate)
        for each in (
            lambda: _POLICY.admit(loaded),
            lambda: best_path([loaded, loaded], NOW),
            lambda: spki_pin(loaded),
            lambda: unknown_critical(loaded),
            lambda: name_of(loaded),
        ):
            with suppress(Fault):
                each()
        return True
    return False
