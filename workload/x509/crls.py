"""CRLs and delta CRLs (RFC 5280 §5, §5.2.4) of CAs that are known. Pure.

1. A CRL is signed by a CA that is known here, by its name and key.
2. One whose CA has ended itself is left out: nothing below that CA is believed any more.
3. It has not ended: after its ``nextUpdate`` every peer would be refused (RFC 5280 §6.3.3), so it
   is not taken in place of a good one.
4. A delta CRL lists what was revoked since its CA's last CRL. One that has ended says nothing; the
   CRL itself is still the word of the CA.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from workload.errors import Fault
from workload.x509.reading import (
    CertificateUnreadable,
    has_signed_crl,
    is_signed_by,
    load_crl,
    reading,
)

MAX_PEM_BYTES = 4_194_304
Crl = x509.CertificateRevocationList


class BundleFault(Fault):
    """The content that was read is not a valid trust bundle."""


@dataclass(frozen=True, slots=True)
class RevokedSince:
    """What one delta CRL lists."""

    ca: x509.Certificate
    serials: frozenset[int]
    digest: bytes
    """Of the CA and the serials: a delta CRL is made anew every few minutes, with the same."""

    @classmethod
    def of(cls, ca: x509.Certificate, serials: frozenset[int]) -> "RevokedSince":
        """Return what the delta CRL of a CA lists."""
        text = ca.public_bytes(Encoding.DER) + repr(sorted(serials)).encode("ascii")
        return cls(ca, serials, hashlib.sha256(text).digest())

    def lists(self, certificate: x509.Certificate) -> bool:
        """Return whether it lists a certificate that its CA signed."""
        return certificate.serial_number in self.serials and is_signed_by(certificate, self.ca)


class Crls(NamedTuple):
    """The CRLs of a bundle, and what was revoked since."""

    complete: tuple[Crl, ...]
    revoked_since: tuple[RevokedSince, ...]


def read_crls(
    pems: Sequence[str],
    live: Sequence[x509.Certificate],
    ended: Sequence[x509.Certificate],
    now: float,
) -> Crls:
    """Read CRLs and delta CRLs of CAs that live or have ended. Raises ``BundleFault``."""
    complete: dict[bytes, Crl] = {}
    since: dict[bytes, RevokedSince] = {}
    for pem in pems:
        if len(pem) > MAX_PEM_BYTES:
            raise BundleFault(f"a CRL of more than {MAX_PEM_BYTES} bytes")
        try:
            crl = load_crl(pem)
            delta, who = is_delta(crl), crl.issuer.rfc4514_string()
        except (CertificateUnreadable, ValueError):
            raise BundleFault("a CRL is not in PEM, or can't be read") from None
        ca = next((each for each in live if has_signed_crl(each, crl)), None)
        if ca is None:
            if any(has_signed_crl(each, crl) for each in ended):
                continue
            raise BundleFault(f"the CRL of {who} is signed by no CA here")
        over = crl_ends_at(crl) <= now
        if over and not delta:
            raise BundleFault(
                f"the CRL of {who} has ended; set auto_rebuild in Vault's pki/config/crl"
            )
        if not delta:
            complete[crl.public_bytes(Encoding.DER)] = crl
        elif not over:
            found = RevokedSince.of(ca, revoked_serials(crl))
            since[found.digest] = found
    return Crls(tuple(complete.values()), tuple(since[key] for key in sorted(since)))


def is_delta(crl: Crl) -> bool:
    """Return whether a CRL is a delta CRL (RFC 5280 §5.2.4). Raises ``CertificateUnreadable``."""
    with reading("the CRL"):
        return any(isinstance(each.value, x509.DeltaCRLIndicator) for each in crl.extensions)


def revoked_serials(crl: Crl) -> frozenset[int]:
    """Return the serials that are revoked by a CRL or a delta CRL.

    A delta CRL lists as ``removeFromCRL`` what is revoked no more. Raises
    ``CertificateUnreadable``.
    """
    with reading("the CRL"):
        return frozenset(each.serial_number for each in crl if not _is_removed(each))


def _is_removed(entry: x509.RevokedCertificate) -> bool:
    try:
        found = entry.extensions.get_extension_for_class(x509.CRLReason)
    except x509.ExtensionNotFound:
        return False
    return found.value.reason is x509.ReasonFlags.remove_from_crl


def crl_ends_at(crl: Crl) -> float:
    """Return ``nextUpdate``; a CRL must have one (RFC 5280 §5.1.2.5)."""
    end = crl.next_update_utc
    return 0.0 if end is None else end.timestamp()


def split_crls(pem: str) -> list[str]:
    """Split a text of several CRLs."""
    end = "-----END X509 CRL-----"
    return [part.strip() + f"\n{end}\n" for part in pem.split(end) if part.strip()]
