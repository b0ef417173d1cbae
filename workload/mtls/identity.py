"""Who we are and whom we believe, as both change; contexts and credentials made of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workload.clock import Now
from workload.mtls.context import FollowingContext
from workload.mtls.peers import NothingToShow, PeerPolicy
from workload.x509.anchors import TrustAnchors
from workload.x509.material import Material

if TYPE_CHECKING:
    from workload.mtls.rpc import GrpcPeerGuard, GrpcTunnel


class WorkloadIdentity:
    """The current certificate and trust of this process.

    ``peers`` and ``spki_pins`` are for contexts that name none of their own.
    """

    def __init__(
        self, now: Now, *, peers: Sequence[str] = (), spki_pins: Sequence[str] = ()
    ) -> None:
        self._now = now
        self._peers = tuple(peers)
        self._spki_pins = tuple(spki_pins)
        self._material: Material | None = None
        self._anchors: TrustAnchors | None = None

    def show(self, material: Material | None) -> None:
        """Show this certificate from the next handshake on; ``None``: none any more."""
        self._material = material

    def believe(self, anchors: TrustAnchors) -> None:
        """Believe these CAs, and no others, from the next handshake on."""
        self._anchors = anchors

    def current(self) -> tuple[Material, TrustAnchors]:
        """Return what is shown and believed now. Raises ``NothingToShow``."""
        material, anchors = self._material, self._anchors
        if material is None or anchors is None:
            raise NothingToShow("there is no certificate or no trust bundle")
        if material.not_after <= self._now():
            raise NothingToShow("our certificate has expired")
        return material, anchors

    def policy(self, peers: Sequence[str] | None) -> PeerPolicy:
        """Return the policy for a list of peers, or the default one."""
        return PeerPolicy.of(self._peers if peers is None else peers, self._spki_pins)

    def server_context(
        self, peers: Sequence[str] | None = None, *, alpn: Sequence[str] = ()
    ) -> FollowingContext:
        """Make a context for servers: clients must be one of ``peers``."""
        return FollowingContext(self, self.policy(peers), alpn, server_side=True)

    def client_context(
        self, peers: Sequence[str] | None = None, *, alpn: Sequence[str] = ()
    ) -> FollowingContext:
        """Make a context for clients: the server must be one of ``peers``.

        Its host name is not looked at; give any as ``server_hostname``.
        """
        return FollowingContext(self, self.policy(peers), alpn, server_side=False)

    def grpc_guard(self, peers: Sequence[str] | None = None) -> "GrpcPeerGuard":
        """Make credentials and interceptor for a ``grpc.aio`` server (``rpc.GrpcPeerGuard``)."""
        from workload.mtls.rpc import GrpcPeerGuard  # noqa: PLC0415 - grpc, for those who speak it

        return GrpcPeerGuard(self, self.policy(peers), self._now)

    def grpc_tunnel(
        self,
        host: str,
        port: int,
        peers: Sequence[str] | None = None,
        *,
        options: Sequence[tuple[str, Any]] = (),
    ) -> "GrpcTunnel":
        """Make a tunnel with a ``grpc.aio`` channel to a server that is one of ``peers``."""
        from workload.mtls.rpc import GrpcTunnel  # noqa: PLC0415 - grpc, for those who speak it

        return GrpcTunnel(self.client_context(peers), host, port, options)
