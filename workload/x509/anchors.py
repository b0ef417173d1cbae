"""A trust bundle: roots, CRLs, and the rules for both. Pure.

1. Every certificate is a CA's; expired ones are left out, and at least one must remain.
2. The anchors are the self-signed ones. Of a chain whose root is not known here the
   uppermost is the anchor.
3. A CRL is signed by a CA that is known here, and has not ended: after its ``nextUpdate``
   every peer would be refused (RFC 5280 §6.3.3), so it is not taken in place of a good one.
4. Where every CA known has a CRL, a peer's whole chain is held against them; else its own
   issuer's alone is, and that must be there.

A bundle that breaks a rule is refused as a whole; the last good one stays.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from workload.errors import Fault

MAX_CAS = 64
MAX_PEM_BYTES = 4_194_304


class BundleFault(Fault):
    """The content that was read is not a valid trust bundle."""


@dataclass(frozen=True, slots=True)
class TrustAnchors:
    """The trusted CAs and their CRLs. Times are Unix seconds."""

    roots_pem: bytes
    crl_pem: bytes | None = None
    only_leaf_crl: bool = False
    """A CA above the issuers has no CRL here, so only the peer's own issuer is checked."""
    partial_chain: bool = False
    """An anchor is not self-signed: OpenSSL must be told to stop there."""
    ends_at: float | None = None
    """When the first CRL, or else the last anchor, ends."""

    @property
    def version(self) -> str:
        """A digest of the public content, the same in every process."""
        return hashlib.sha256(self.roots_pem + b"\0" + (self.crl_pem or b"")).hexdigest()[:32]


def read_anchors(
    chains: Iterable[Sequence[x509.Certificate]], crl_pems: Sequence[str], now: float
) -> TrustAnchors:
    """Build the anchors of chains (lowest first) and CRLs. Raises ``BundleFault``."""
    known: dict[bytes, x509.Certificate] = {}
    anchors: dict[bytes, x509.Certificate] = {}
    for chain in chains:
        for certificate in chain:
            _check_ca(certificate)
            known[_key(certificate)] = certificate
        roots = [each for each in chain if _is_self_signed(each)] or chain[-1:]
        anchors.update((_key(each), each) for each in roots if _ends_at(each) > now)
    if not anchors:
        raise BundleFault("it holds no CA certificate that is still valid")
    if len(known) > MAX_CAS:
        raise BundleFault(f"{len(known)} CAs, more than {MAX_CAS}")
    ordered = [anchors[key] for key in sorted(anchors)]
    crls = _read_crls(crl_pems, tuple(known.values()), now)
    covered = all(any(_signed(crl, ca) for crl in crls) for ca in known.values())
    ends = [_crl_ends_at(crl) for crl in crls] or [max(_ends_at(each) for each in ordered)]
    return TrustAnchors(
        roots_pem=b"".join(each.public_bytes(Encoding.PEM) for each in ordered),
        crl_pem=b"".join(sorted(crl.public_bytes(Encoding.PEM) for crl in crls)) or None,
        only_leaf_crl=bool(crls) and not covered,
        partial_chain=not all(_is_self_signed(each) for each in ordered),
        ends_at=min(ends),
    )


def read_chain(pem: str) -> list[x509.Certificate]:
    """Read certificates. Raises ``BundleFault``."""
    if len(pem) > MAX_PEM_BYTES:
        raise BundleFault(f"more than {MAX_PEM_BYTES} bytes of certificates")
    try:
        return x509.load_pem_x509_certificates(pem.encode("ascii", "replace"))
    except ValueError:
        raise BundleFault("it does not hold PEM certificates") from None


def split_crls(pem: str) -> list[str]:
    """Split a text of several CRLs."""
    end = "-----END X509 CRL-----"
    return [part.strip() + f"\n{end}\n" for part in pem.split(end) if part.strip()]


def _read_crls(
    pems: Sequence[str], known: Sequence[x509.Certificate], now: float
) -> list[x509.CertificateRevocationList]:
    crls: list[x509.CertificateRevocationList] = []
    for pem in pems:
        if len(pem) > MAX_PEM_BYTES:
            raise BundleFault(f"a CRL of more than {MAX_PEM_BYTES} bytes")
        try:
            crl = x509.load_pem_x509_crl(pem.encode("ascii", "replace"))
        except ValueError:
            raise BundleFault("a CRL is not in PEM") from None
        if not any(_signed(crl, ca) for ca in known):
            raise BundleFault(f"the CRL of {crl.issuer.rfc4514_string()} is signed by no CA here")
        if _crl_ends_at(crl) <= now:
            raise BundleFault(
                f"the CRL of {crl.issuer.rfc4514_string()} has ended; "
                "set auto_rebuild in Vault's pki/config/crl"
            )
        crls.append(crl)
    return list({crl.public_bytes(Encoding.DER): crl for crl in crls}.values())


def _signed(crl: x509.CertificateRevocationList, ca: x509.Certificate) -> bool:
    key = ca.public_key()
    kinds = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
    if crl.issuer != ca.subject or not isinstance(key, kinds):
        return False
    try:
        return crl.is_signature_valid(key)
    except (ValueError, TypeError):
        return False


def _check_ca(certificate: x509.Certificate) -> None:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        is_ca = constraints.value.ca
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        is_ca = False
    if not is_ca:
        raise BundleFault(f"{certificate.subject.rfc4514_string()} is no CA")


def _is_self_signed(certificate: x509.Certificate) -> bool:
    if certificate.issuer != certificate.subject:
        return False
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _key(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _ends_at(certificate: x509.Certificate) -> float:
    return certificate.not_valid_after_utc.timestamp()


def _crl_ends_at(crl: x509.CertificateRevocationList) -> float:
    """Return ``nextUpdate``; a CRL must have one (RFC 5280 §5.1.2.5)."""
    end = crl.next_update_utc
    return 0.0 if end is None else end.timestamp()
