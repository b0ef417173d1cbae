"""Who the other side is, and whether it may be here. Pure.

The certificate's chain, its dates and, with ``ssl``, its CRL were checked by OpenSSL before
any of this is asked. A certificate of the platform's CA says *who* somebody is; that a
service may call another one is a list's affair.
"""

import ssl
from collections.abc import Sequence
from typing import NamedTuple

from cryptography import x509

from workload.errors import Fault
from workload.x509.identities import matches, names_of
from workload.x509.material import spki_pin

SPIFFE = "spiffe://"


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


class PeerPolicy(NamedTuple):
    """One of ``peers`` must be a SAN of the peer, one of ``spki_pins`` (if any) its key's."""

    peers: tuple[str, ...]
    spki_pins: tuple[str, ...] = ()

    @classmethod
    def of(cls, peers: Sequence[str], spki_pins: Sequence[str] = ()) -> "PeerPolicy":
        """Make a policy; raises ``MtlsFault`` for an empty list, which would be everybody."""
        if not peers or isinstance(peers, str):
            raise MtlsFault(
                "peers must list SPIFFE IDs or DNS names; for every service of a trust domain: "
                "spiffe://<domain>/*"
            )
        return cls(tuple(peers), tuple(spki_pins))

    def admit(self, certificate: x509.Certificate) -> str:
        """Return the peer's identity: its SPIFFE ID, else the DNS name that is on the list.

        Raises ``PeerRefused``. A certificate with several SPIFFE IDs has none
        (X509-SVID §5.2).
        """
        names = names_of(certificate)
        ids = [uri for uri in names.uris if uri.startswith(SPIFFE)]
        if len(ids) > 1:
            raise PeerRefused("the peer's certificate has several SPIFFE IDs")
        candidates = (*ids, *names.dns_names)
        found = [name for name in candidates if any(matches(name, each) for each in self.peers)]
        if not found:
            shown = ", ".join(candidates)[:200] or "nobody"
            raise PeerRefused(f"the peer is {shown}, who is not on the list")
        if self.spki_pins and spki_pin(certificate) not in self.spki_pins:
            raise PeerRefused(f"the key of {found[0][:200]} is none of the pinned ones")
        return ids[0] if ids else found[0]
