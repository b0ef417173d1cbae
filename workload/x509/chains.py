"""Which of the certificates that came with a leaf make its chain, and when that ends. Pure.

What a CA sends or an operator stores is a set, not a list: Vault's ``manual_chain``, and
intermediates that two CAs have signed, hold certificates that no single chain needs, in any order
(RFC 8446 §4.4.2 lets a server send them so). One path that builds is enough.

A *path* begins with the leaf; each certificate is signed by the next (RFC 5280 §6.1), which must
be a CA, may sign certificates, and allows as many CAs below it as there are. It goes on while the
set holds an issuer, and ends with a root or where the issuer is elsewhere, with the client. A path
ends when its first certificate ends. Where there are several, clients choose by the roots that
they know; the chain ends with the path that holds longest.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cryptography import x509

from workload.errors import Fault
from workload.x509.reading import (
    CertificateUnreadable,
    find_extension,
    is_signed_by,
    name_of,
    unknown_critical,
)

MAX_CHAIN = 10
_MAX_STEPS = 2000
"""Cross-signed CAs of one name make more paths than there is time for."""


class ChainFault(Fault):
    """No path builds from the certificates."""


class ChainPath(NamedTuple):
    """A leaf and those above it. Times are Unix seconds."""

    certificates: tuple[x509.Certificate, ...]
    begins: float
    ends: float

    @classmethod
    def of(cls, certificates: Sequence[x509.Certificate]) -> "ChainPath":
        """Return the path of these certificates: it is valid while all of them are."""
        return cls(
            tuple(certificates),
            max(each.not_valid_before_utc.timestamp() for each in certificates),
            min(each.not_valid_after_utc.timestamp() for each in certificates),
        )

    @property
    def first_to_end(self) -> x509.Certificate:
        """The certificate that ends first."""
        return min(self.certificates, key=lambda each: each.not_valid_after_utc)


def best_path(chain: Sequence[x509.Certificate], now: float) -> ChainPath:
    """Return the path from ``chain[0]`` that holds longest, of those that have begun by ``now``.

    The others of the chain may stand in any order, and some may be on no path. Where no path has
    begun, one that will is returned. Raises ``ChainFault``.
    """
    candidates = _Candidates(chain[1:])
    paths = list(candidates.paths(chain[0]))
    if not paths:
        raise ChainFault(candidates.why_none(chain[0]))
    return max(paths, key=lambda path: (path.begins <= now, path.ends, len(path.certificates)))


class _Candidates:
    """The certificates that may stand above a leaf, and who of them signed whom."""

    def __init__(self, others: Sequence[x509.Certificate]) -> None:
        self._others = tuple(dict.fromkeys(others))
        self._issuers: dict[x509.Certificate, tuple[x509.Certificate, ...]] = {}
        self._steps = 0

    def paths(self, leaf: x509.Certificate) -> Iterator[ChainPath]:
        """Yield the paths that are complete, as far as the certificates here go."""
        if not self._others:
            yield ChainPath.of((leaf,))
            return
        for above in self._above((leaf,)):
            yield ChainPath.of(above)

    def _above(self, below: tuple[x509.Certificate, ...]) -> Iterator[tuple[x509.Certificate, ...]]:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            return
        signers = self._issuers_of(below[-1])
        new = [each for each in signers if each not in below and not _is_same_ca(each, below)]
        if not new and len(below) > 1:
            yield below
        cas_below = sum(each.issuer != each.subject for each in below[1:])
        for issuer in new:
            if _may_sign(issuer, cas_below):
                yield from self._above((*below, issuer))

    def _issuers_of(self, certificate: x509.Certificate) -> tuple[x509.Certificate, ...]:
        if certificate not in self._issuers:
            self._issuers[certificate] = tuple(
                each for each in self._others if is_signed_by(certificate, each)
            )
        return self._issuers[certificate]

    def why_none(self, leaf: x509.Certificate) -> str:
        """Return why no path builds."""
        signers = self._issuers_of(leaf)
        if not signers:
            return (
                f"no certificate in it signed {name_of(leaf)}: add that of its issuer, "
                "or leave all others out"
            )
        if not any(is_ca(each) for each in signers):
            return f"an issuer in it is not a CA: {name_of(signers[0])}"
        return (
            f"{name_of(leaf)} leads to no issuer that may sign it "
            "(keyCertSign, path length, an unknown critical extension)"
        )


def is_ca(certificate: x509.Certificate) -> bool:
    """Return whether a certificate is a CA's. Raises ``CertificateUnreadable``."""
    constraints = find_extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _may_sign(issuer: x509.Certificate, cas_below: int) -> bool:
    """Return whether a CA may sign what has this many CAs, self-issued ones apart, below it."""
    try:
        if unknown_critical(issuer):
            return False
        constraints = find_extension(issuer, x509.BasicConstraints)
        usage = find_extension(issuer, x509.KeyUsage)
    except CertificateUnreadable:
        return False
    if constraints is None or not constraints.ca or (usage and not usage.key_cert_sign):
        return False
    return constraints.path_length is None or constraints.path_length >= cas_below


def _is_same_ca(certificate: x509.Certificate, below: Sequence[x509.Certificate]) -> bool:
    """Return whether a CA is on the path already, signed by somebody else: a circle."""
    key = certificate.public_key()
    return any(
        each.subject == certificate.subject and each.public_key() == key for each in below[1:]
    )
