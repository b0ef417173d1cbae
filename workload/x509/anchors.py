"""A trust bundle: roots, CRLs, and the rules for both. Pure.

1. Every certificate is a CA's. One that has ended leaves the bundle, with its CRL; at least one
   must remain.
2. The anchors are the self-signed ones. Of a chain whose root is not known here the
   uppermost is the anchor.
3. The CRLs are those of the CAs that remain (``workload.x509.crls``).
4. Where every CA known has a CRL, a peer's whole chain is held against them; else its own
   issuer's alone is, and that must be there.

A bundle that breaks a rule is refused as a whole; the last good one stays.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from workload.x509.chains import is_ca
from workload.x509.crls import MAX_PEM_BYTES, BundleFault, RevokedSince, crl_ends_at, read_crls
from workload.x509.reading import (
    CertificateUnreadable,
    has_signed_crl,
    is_self_signed,
    load_chain,
    name_of,
)

MAX_CAS = 64


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
    revoked_since: tuple[RevokedSince, ...] = ()
    """What delta CRLs list: revoked since the CRLs were made."""

    @property
    def version(self) -> str:
        """A digest of the public content, the same in every process."""
        digest = hashlib.sha256(self.roots_pem + b"\0" + (self.crl_pem or b""))
        for each in self.revoked_since:
            digest.update(b"\0" + each.digest)
        return digest.hexdigest()[:32]

    def has_revoked_since(self, certificate: x509.Certificate) -> bool:
        """Return whether a delta CRL of a certificate's issuer lists it.

        OpenSSL looks into a delta CRL only where the certificate or the CRL points to it, and
        Vault's do not; Envoy reads none.
        """
        return any(each.lists(certificate) for each in self.revoked_since)


def read_anchors(
    chains: Iterable[Sequence[x509.Certificate]], crl_pems: Sequence[str], now: float
) -> TrustAnchors:
    """Build the anchors of chains (lowest first) and CRLs. Raises ``BundleFault``."""
    try:
        return _read_anchors(chains, crl_pems, now)
    except CertificateUnreadable as fault:
        raise BundleFault(str(fault)) from None


def _read_anchors(
    chains: Iterable[Sequence[x509.Certificate]], crl_pems: Sequence[str], now: float
) -> TrustAnchors:
    known: dict[bytes, x509.Certificate] = {}
    anchors: dict[bytes, x509.Certificate] = {}
    for chain in chains:
        for certificate in chain:
            if not is_ca(certificate):
                raise BundleFault(f"{name_of(certificate)} is no CA")
            known[_key(certificate)] = certificate
        roots = [each for each in chain if is_self_signed(each)] or chain[-1:]
        anchors.update((_key(each), each) for each in roots if _ends_at(each) > now)
    if not anchors:
        raise BundleFault("it holds no CA certificate that is still valid")
    if len(known) > MAX_CAS:
        raise BundleFault(f"{len(known)} CAs, more than {MAX_CAS}")
    ordered = [anchors[key] for key in sorted(anchors)]
    live = [each for each in known.values() if _ends_at(each) > now]
    ended = [each for each in known.values() if _ends_at(each) <= now]
    found = read_crls(crl_pems, live, ended, now)
    crls = found.complete
    covered = all(any(has_signed_crl(ca, crl) for crl in crls) for ca in live)
    ends = [crl_ends_at(crl) for crl in crls] or [max(_ends_at(each) for each in ordered)]
    return TrustAnchors(
        roots_pem=b"".join(each.public_bytes(Encoding.PEM) for each in ordered),
        crl_pem=b"".join(sorted(crl.public_bytes(Encoding.PEM) for crl in crls)) or None,
        only_leaf_crl=bool(crls) and not covered,
        partial_chain=not all(is_self_signed(each) for each in ordered),
        ends_at=min(ends),
        revoked_since=found.revoked_since,
    )


def read_chain(pem: str) -> list[x509.Certificate]:
    """Read certificates. Raises ``BundleFault``."""
    if len(pem) > MAX_PEM_BYTES:
        raise BundleFault(f"more than {MAX_PEM_BYTES} bytes of certificates")
    try:
        return load_chain(pem)
    except CertificateUnreadable:
        raise BundleFault("it does not hold PEM certificates") from None


def _key(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _ends_at(certificate: x509.Certificate) -> float:
    return certificate.not_valid_after_utc.timestamp()
