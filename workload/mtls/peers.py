"""Who the other side is, and whether it may be here. Pure.

The certificate's chain, its dates and its CRLs were checked by OpenSSL before any of this is
asked: in the handshake, or by ``workload.mtls.verification``. A certificate of the platform's CA
says *who* somebody is; that a service may call another one is a list's affair.
"""

import ssl
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from cryptography import x509

from workload.errors import Fault
from workload.x509.identities import SPIFFE, NoIdentity, check_leaf, is_id_pattern, read_peer
from workload.x509.material import spki_pin
from workload.x509.reading import CertificateUnreadable, name_of


class MtlsFault(Fault):
    """mTLS is not possible: there is no valid certificate, or no trust bundle."""


class NothingToShow(MtlsFault, ssl.SSLError):
    """There is no certificate that is valid now, or nobody to believe.

    An ``SSLError`` too: event loops end a handshake on nothing else.
    """

    def __str__(self) -> str:
        """Return why."""
        return str(self.args[0])


class PeerRefused(Fault, ssl.SSLCertVerificationError):
    """The peer has a certificate of our CA, and may not be here.

    An ``SSLError`` too, so that whoever runs the handshake ends the connection.
    """

    def __str__(self) -> str:
        """Return why."""
        return str(self.args[0])


class Admission(Protocol):
    """Says which peers may be here, of those whose chain is good."""

    def admit(self, certificate: x509.Certificate) -> str:
        """Return by which name a peer is admitted. Raises ``PeerRefused``."""


class PeerPolicy(NamedTuple):
    """One of ``peers`` must be a SAN of the peer, one of ``spki_pins`` (if any) its key's."""

    peers: tuple[str, ...]
    spki_pins: tuple[str, ...] = ()

    @classmethod
    def of(cls, peers: Sequence[str], spki_pins: Sequence[str] = ()) -> "PeerPolicy":
        """Make a policy; raises ``MtlsFault`` for an empty list, which would be everybody.

        It does for what looks like a SPIFFE ID and is none, too: it would admit nobody.
        """
        if not peers or isinstance(peers, str):
            raise MtlsFault(
                "peers must list SPIFFE IDs or DNS names; for every service of a trust domain: "
                "spiffe://<domain>/*"
            )
        for each in peers:
            if each.startswith(SPIFFE) and not is_id_pattern(each):
                raise MtlsFault(
                    f"peers: {each[:200]!r} is no SPIFFE ID, nor one that ends in /* (SPIFFE-ID §2)"
                )
        return cls(tuple(peers), tuple(spki_pins))

    def admit(self, certificate: x509.Certificate) -> str:
        """Return the peer's identity: its SPIFFE ID, else the DNS name that is on the list.

        Raises ``PeerRefused``; the rules are those of ``workload.x509.identities``.
        """
        try:
            names = read_peer(certificate)
        except NoIdentity as fault:
            raise PeerRefused(f"the peer identifies nobody: {fault}") from None
        found = names.admitted_by(self.peers)
        if found is None:
            raise PeerRefused(f"the peer is {names}, who is not on the list")
        _check_pins(self.spki_pins, certificate, found)
        return found


class AnyPeer(NamedTuple):
    """Admits every peer that the anchors vouch for: of a CA that certifies nobody else.

    It need have no name of its own (a subject with a common name alone), and is known by its
    subject. One of ``spki_pins`` (if any) must be its key's.
    """

    spki_pins: tuple[str, ...] = ()

    def admit(self, certificate: x509.Certificate) -> str:
        """Return the peer's subject. Raises ``PeerRefused``, for a CA's certificate too."""
        try:
            check_leaf(certificate)
        except (NoIdentity, CertificateUnreadable) as fault:
            raise PeerRefused(f"the peer identifies nobody: {fault}") from None
        name = name_of(certificate)
        _check_pins(self.spki_pins, certificate, name)
        return name


def _check_pins(pins: Sequence[str], certificate: x509.Certificate, name: str) -> None:
    if pins and spki_pin(certificate) not in pins:
        raise PeerRefused(f"the key of {name[:200]} is none of the pinned ones")
