"""The client certificate of a recorded request: what Envoy would forward for a name."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

_KEY = ec.generate_private_key(ec.SECP256R1())
_LIFE = timedelta(days=1)


@lru_cache(maxsize=256)
def forwarded_certificate(principal: str, now: float) -> str:
    """Return a certificate, URL-encoded PEM, of which Envoy would make this ``principal``.

    A URI is its URI SAN, a subject (with ``=``) has no SAN, anything else is a DNS SAN. It is valid
    at ``now`` (Unix seconds). Raises ``ValueError`` for a name that no certificate can hold.
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a recorded client")])
    moment = datetime.fromtimestamp(now, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(_KEY.public_key())
        .serial_number(1)
        .not_valid_before(moment - _LIFE)
        .not_valid_after(moment + _LIFE)
    )
    if "=" not in principal:
        kind = x509.UniformResourceIdentifier if "://" in principal else x509.DNSName
        sans = x509.SubjectAlternativeName([kind(principal)])
        builder = builder.add_extension(sans, critical=False)
    pem = builder.sign(_KEY, hashes.SHA256()).public_bytes(Encoding.PEM)
    return quote(pem.decode("ascii"), safe="")
