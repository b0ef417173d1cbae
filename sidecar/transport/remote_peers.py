"""Who may connect to a listener over mutual TLS: one verification, in the handshake and after it.

The handshake is ``ssl``'s by the roots and CRLs of its moment (``workload.mtls.context``). What
was admitted is judged again by the same engine and rules, strictly: a chain that has ended, is
revoked, or leads to no root any more would not be let in, and does not stay.
"""

import ssl
from collections.abc import Callable
from typing import NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.common.clock import Now
from sidecar.transport.identities import Trusted
from sidecar.transport.tls_guard import TlsPeer
from workload.mtls.context import FollowingContext, verified_chain
from workload.mtls.peers import Admission, AnyPeer, NothingToShow, PeerPolicy, PeerRefused
from workload.mtls.verification import ChainVerifier
from workload.x509.anchors import TrustAnchors
from workload.x509.material import Material


class ListenerTls(NamedTuple):
    """How a listener speaks TLS: the protocols it offers, the least version, and who needs a list.

    With ``any_peer`` an empty list of peers admits everybody whom the anchors vouch for; without
    it that is refused.
    """

    alpn: tuple[str, ...]
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    any_peer: bool = False


class RemotePeers:
    """The peers of other hosts (``sidecar.transport.tls_guard.PeerCheck``).

    ``trust`` and ``material`` return who is believed and our certificate as they are now; a reload
    may change who is on the list.
    """

    def __init__(
        self,
        trust: Callable[[], Trusted],
        material: Callable[[], Material | None],
        now: Now,
        tls: ListenerTls,
    ) -> None:
        self._trust = trust
        self._material = material
        self._now = now
        self._tls = tls
        self._verifier = ChainVerifier()
        self._policy = self._policy_now()
        self._context = self._make_context()

    @property
    def context(self) -> ssl.SSLContext:
        """The context of handshakes, by the list of now."""
        policy = self._policy_now()
        if policy != self._policy:
            self._policy = policy
            self._context = self._make_context()
        return self._context

    def _make_context(self) -> FollowingContext:
        return FollowingContext(
            self, self._policy, self._tls.alpn, server_side=True, minimum=self._tls.minimum
        )

    def _policy_now(self) -> Admission:
        trust = self._trust()
        if self._tls.any_peer and not trust.peers:
            return AnyPeer(trust.spki_pins)
        return PeerPolicy.of(trust.peers, trust.spki_pins)

    def current(self) -> tuple[Material, TrustAnchors]:
        """Return what is shown and believed now. Raises ``NothingToShow``."""
        material, anchors = self._material(), self._trust().anchors
        if material is None or anchors is None:
            raise NothingToShow("there is no valid certificate or no trust bundle")
        return material, anchors

    def peer_of(self, connection: ssl.SSLObject) -> TlsPeer:
        """Return whom a handshake has admitted. Raises ``PeerRefused`` for one that was resumed."""
        chain = verified_chain(connection)
        if not chain:
            raise PeerRefused("the session is resumed, and shows no certificate")
        pems = tuple(each.public_bytes(Encoding.PEM) for each in chain)
        return TlsPeer(self._policy_now().admit(chain[0]), pems)

    def refusal(self, peer: TlsPeer) -> str:
        """Return why a peer would not be admitted now; empty if it would."""
        anchors = self._trust().anchors
        if anchors is None:
            return "the roots of this listener's peers have not been read"
        try:
            # As if it were resumed: what has ended since the handshake admits nobody.
            leaf = self._verifier.verify(peer.chain, anchors, self._now(), resumed=True)
            self._policy_now().admit(leaf)
        except PeerRefused as fault:
            return str(fault)
        return ""
