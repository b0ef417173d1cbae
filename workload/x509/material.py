"""A certificate with its private key, checked before anyone may use it."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from workload.errors import Fault
from workload.x509.chains import MAX_CHAIN, ChainFault, ChainPath, best_path
from workload.x509.reading import (
    CertificateUnreadable,
    find_extension,
    is_self_signed,
    load_chain,
    name_of,
    public_key_der,
)
from workload.x509.servable import NotServable, ServableKey, check_servable
from workload.x509.wildcards import covers

_CLOCK_SKEW_SECONDS = 60.0
"""How far the CA's clock may be ahead of ours. The clocks of Envoy's clients differ too."""


class MaterialFault(Fault):
    """A certificate or key that was issued or stored can't be served."""


@dataclass(frozen=True, slots=True, repr=False)
class Material:
    """A chain, leaf first, and the leaf's key. Times are Unix seconds.

    The key exists in memory and on its way to Envoy, nowhere else: ``repr`` hides it.
    """

    chain_pem: bytes
    key_pem: bytes
    names: tuple[str, ...]
    serial: str
    not_before: float
    not_after: float
    """When the first certificate of its chain ends: served, renewed and alerted by it."""
    uris: tuple[str, ...] = ()
    """The URIs it is for, such as a SPIFFE ID."""

    def __repr__(self) -> str:
        """Name the certificate, without its key."""
        return f"Material(names={self.names}, serial={self.serial})"

    @property
    def version(self) -> str:
        """The version for SDS: other whenever any byte of what is served is other.

        A serial alone is none: a CA that was made anew counts from one again, and a chain can
        change under one leaf. The key is covered too, since it is the leaf's.
        """
        return f"{self.serial}.{hashlib.sha256(self.chain_pem).hexdigest()[:32]}"


def check_material(
    chain_pem: str,
    key: ServableKey,
    required: Sequence[str],
    now: float,
    *,
    uri_sans: Sequence[str] = (),
) -> Material:
    """Build ``Material`` from what a CA returned. Raises ``MaterialFault``.

    The key must be the leaf's, the leaf must be servable and cover every required name and URI,
    and one path of the chain must build and be valid now (``workload.x509.chains``). It ends when
    the first certificate of that path ends. Spare certificates are kept, as they came.
    """
    try:
        chain = load_chain(chain_pem)
    except CertificateUnreadable:
        raise MaterialFault("the CA's answer is not a chain of PEM certificates") from None
    if not 0 < len(chain) <= MAX_CHAIN:
        raise MaterialFault(
            f"the CA's answer has {len(chain)} certificates; 1 to {MAX_CHAIN} are allowed"
        )
    leaf = chain[0]
    try:
        _check_key(leaf, key)
        check_servable(leaf, for_hosts=bool(required))
        names, uris = _names(leaf)
        path = best_path(chain, now)
    except CertificateUnreadable as fault:
        raise MaterialFault(f"the CA's answer can't be read: {fault}") from None
    except ChainFault as fault:
        raise MaterialFault(f"the chain is not valid: {fault}") from None
    except NotServable as fault:
        raise MaterialFault(str(fault)) from None
    missing = [name for name in required if not any(covers(each, name) for each in names)]
    missing += [uri for uri in uri_sans if uri not in uris]
    if missing:
        raise MaterialFault(f"the certificate does not cover {', '.join(missing)}")
    _check_time(path, now)
    return Material(
        chain_pem=b"".join(
            each.public_bytes(Encoding.PEM)
            for each in chain
            if each is leaf or not is_self_signed(each)
        ),
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        names=names,
        serial=f"{leaf.serial_number:x}",
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=path.ends,
        uris=uris,
    )


def _check_key(leaf: x509.Certificate, key: ServableKey) -> None:
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if public_key_der(leaf) != key.public_key().public_bytes(*form):
        raise MaterialFault("the certificate is for another key")


def _check_time(path: ChainPath, now: float) -> None:
    if now >= path.ends:
        ended = path.first_to_end
        if ended is path.certificates[0]:
            raise MaterialFault("the certificate has expired")
        raise MaterialFault(
            f"the chain has ended: the CA certificate of {name_of(ended)} has expired"
        )
    if now < path.begins - _CLOCK_SKEW_SECONDS:
        raise MaterialFault(
            "the certificate or its chain is not valid yet; check the clocks of this host and of "
            "the CA"
        )


def _names(leaf: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return DNS names, in lower case (RFC 5280 §4.2.1.6: case is not significant), and URIs."""
    sans = find_extension(leaf, x509.SubjectAlternativeName)
    if sans is None:
        return (), ()
    uris = sans.get_values_for_type(x509.UniformResourceIdentifier)
    return tuple(each.lower() for each in sans.get_values_for_type(x509.DNSName)), tuple(uris)


def spki_pin(certificate: x509.Certificate) -> str:
    """Return base64 of the SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7469 §2.4)."""
    digest = hashlib.sha256(public_key_der(certificate)).digest()
    return base64.b64encode(digest).decode("ascii")
