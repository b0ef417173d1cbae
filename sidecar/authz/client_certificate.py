"""What a client's certificate says, as Envoy verified and forwards it: URL-encoded PEM.

Imported by name, and only where a route reads certificates (``load``): the X.509 package is
memory that every worker would hold for nothing (decision 0021).
"""

from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import unquote

from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.common.base64url import encode_base64url
from workload.x509.identities import NoIdentity, PeerNames, read_peer
from workload.x509.reading import CertificateUnreadable, load_chain

_CLOCK_SKEW_SECONDS = 60.0
"""How far Envoy's clock, by which it admitted the client, may be ahead of ours."""


class ClientCertificate(NamedTuple):
    """Who a certificate identifies, and from when until when (Unix seconds)."""

    names: PeerNames
    not_before: float
    not_after: float


@lru_cache(maxsize=1024)
def read_certificate(certificate: str) -> ClientCertificate | str:
    """Return what a URL-encoded PEM says, or why it says nothing; cached, as clients are few."""
    try:
        parsed = load_chain(unquote(certificate))[0]
        return ClientCertificate(
            read_peer(parsed),
            parsed.not_valid_before_utc.timestamp() - _CLOCK_SKEW_SECONDS,
            parsed.not_valid_after_utc.timestamp(),
        )
    except (CertificateUnreadable, NoIdentity) as fault:
        return str(fault)


@lru_cache(maxsize=1024)
def thumbprint_of(certificate: str) -> str:
    """Return the SHA-256 of a certificate's DER in base64url, or nothing for what is none."""
    try:
        der = load_chain(unquote(certificate))[0].public_bytes(Encoding.DER)
    except CertificateUnreadable:
        return ""
    return encode_base64url(sha256(der).digest())
