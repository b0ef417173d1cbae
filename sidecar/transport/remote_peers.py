"""Who may fetch secrets over the network: one verification, for the handshake and after it.

The handshake is ``ssl``'s by the roots and CRLs of its moment (``workload.mtls.context``). What
was admitted is judged again by the same engine and rules, strictly: a chain that has ended, is
revoked, or leads to no root any more would not be let in, and does not stay.
"""

import ssl
from collections.abc import Callable

from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.common.clock import Now
from sidecar.config.secrets import TrustBundle
from sidecar.transport.tls_guard import TlsPeer
from workload.mtls.context import FollowingContext, verified_chain
from workload.mtls.peers import NothingToShow, PeerPolicy, PeerRefused
from workload.mtls.verification import ChainVerifier
from workload.x509.anchors import TrustAnchors
from workload.x509.material import Material


class RemotePeers:
    """The Envoys of other hosts (``sidecar.transport.tls_guard.PeerCheck``).

    ``trust`` and ``material`` return the trust bundle and our certificate as they are now; a reload
    may change who is on the list.
    """

    def __init__(
        self,
        trust: Callable[[], tuple[TrustBundle, TrustAnchors | None]],
        material: Callable[[], Material | None],
        now: Now,
    ) -> None:
        self._trust = trust
        self._material = material
        self._now = now
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
        return FollowingContext(self, self._policy, ("h2",), server_side=True)

    def _policy_now(self) -> PeerPolicy:
        bundle, _ = self._trust()
        return PeerPolicy.of(bundle.peers, bundle.spki_pins)

    def current(self) -> tuple[Material, TrustAnchors]:
        """Return what is shown and believed now. Raises ``NothingToShow``."""
        material, (_, anchors) = self._material(), self._trust()
        if material is None or anchors is None:
            raise NothingToShow("there is no valid certificate or no trust bundle")
        return material, anchors

    def peer_of(self, connection: ssl.SSLObject) -> TlsPeer:
        """Return whom a handshake has admitted."""
        chain = verified_chain(connection)
        pems = tuple(each.public_bytes(Encoding.PEM) for each in chain)
        return TlsPeer(self._policy_now().admit(chain[0]), pems)

    def refusal(self, peer: TlsPeer) -> str:
        """Return why a peer would not be admitted now; empty if it would."""
        _, anchors = self._trust()
        if anchors is None:
            return "the trust bundle of listen.sds.mtls has not been read"
        try:
            # As if it were resumed: what has ended since the handshake admits nobody.
            leaf = self._verifier.verify(peer.chain, anchors, self._now(), resumed=True)
            self._policy_now().admit(leaf)
        except PeerRefused as fault:
            return str(fault)
        return ""
