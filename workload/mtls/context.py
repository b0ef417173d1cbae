"""``ssl.SSLContext`` that follows rotation and knows its peers.

An OpenSSL context can't be changed safely while others use it: a root can be added and never
taken away, and between a new certificate and its key there is a moment with neither. So
each version of certificate and trust has a context of its own, complete and never changed, and
``FollowingContext`` stands before them: every handshake (``wrap_bio``, ``wrap_socket``) is
made with the one that is right at its beginning. Connections that are there live on.

The peer's identity is checked in ``do_handshake``; a connection that fails it, or has not
done it, gives and takes no byte. No resumption: a session that is resumed shows no certificate, so
it would outlive a revocation. TLS 1.3 alone, unless ``minimum`` says otherwise; OpenSSL remembers
sessions of TLS 1.2 by itself, so that there each handshake has a context of its own (0.3 ms).
"""

import ssl
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, Self

from cryptography import x509

from workload.mtls.memory import in_memory
from workload.mtls.peers import Admission, MtlsFault, NothingToShow, PeerRefused
from workload.x509.anchors import TrustAnchors
from workload.x509.material import Material


class Current(Protocol):
    """Says what to show and whom to believe; ``workload.mtls.identity.WorkloadIdentity`` does."""

    def current(self) -> tuple[Material, TrustAnchors]:
        """Return both as they are now. Raises ``NothingToShow``."""


class FollowingContext(ssl.SSLContext):
    """A context for as long as the process lives. Made by ``WorkloadIdentity``."""

    def __new__(
        cls,
        source: Current,
        policy: Admission,
        alpn: Sequence[str],
        *,
        server_side: bool,
        minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> Self:
        """Make the front, which by itself has no certificate and believes nobody."""
        del source, policy, alpn
        self = super().__new__(cls, _protocol(server_side=server_side))
        _harden(self, minimum)
        self.sslobject_class = _NoObject
        return self

    def __init__(
        self,
        source: Current,
        policy: Admission,
        alpn: Sequence[str],
        *,
        server_side: bool,
        minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> None:
        self._source = source
        self._policy = policy
        self._alpn = tuple(alpn)
        self._server_side = server_side
        self._minimum = minimum
        self._lock = threading.Lock()
        self._snapshot: _Snapshot | None = None
        self._made_of: tuple[Material, str, tuple[str, ...]] | None = None

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Offer these protocols from the next handshake on."""
        with self._lock:
            self._alpn = tuple(alpn_protocols)
            self._made_of = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a handshake; ``session`` is not resumed.

        Where there is nothing to show it fails, as a handshake and not here: an event loop
        cleans up after the one and not after the other.
        """
        del session
        try:
            context: ssl.SSLContext = self._now()
        except NothingToShow:
            return super().wrap_bio(incoming, outgoing, server_side, server_hostname)
        return context.wrap_bio(incoming, outgoing, server_side, server_hostname)

    def wrap_socket(self, sock: Any, *arguments: Any, **keywords: Any) -> ssl.SSLSocket:
        """Wrap a socket; one that listens wraps what it accepts with the context of then."""
        keywords.pop("session", None)
        if self._server_side and not _is_connected(sock):
            return super().wrap_socket(sock, *arguments, **keywords)
        return self._now().wrap_socket(sock, *arguments, **keywords)

    def _now(self) -> "_Snapshot":
        material, anchors = self._source.current()
        with self._lock:
            parts = (material, anchors.version, self._alpn)
            if self._snapshot is None or parts != self._made_of or not self._is_shared:
                self._snapshot = _Snapshot.build(
                    material,
                    anchors,
                    self._policy,
                    self._alpn,
                    server_side=self._server_side,
                    minimum=self._minimum,
                )
                self._made_of = parts
            return self._snapshot

    @property
    def _is_shared(self) -> bool:
        """Whether a snapshot is good for more than one handshake: it remembers no session."""
        return self._minimum >= ssl.TLSVersion.TLSv1_3


class _Snapshot(ssl.SSLContext):
    """One version of certificate and trust."""

    policy: Admission
    anchors: TrustAnchors

    @classmethod
    def build(
        cls,
        material: Material,
        anchors: TrustAnchors,
        policy: Admission,
        alpn: Sequence[str],
        *,
        server_side: bool,
        minimum: ssl.TLSVersion,
    ) -> "_Snapshot":
        self = cls(_protocol(server_side=server_side))
        _harden(self, minimum)
        self.policy = policy
        self.anchors = anchors
        self.sslobject_class = _CheckedObject
        self.sslsocket_class = _CheckedSocket
        self.load_verify_locations(cadata=anchors.roots_pem.decode("ascii"))
        if anchors.partial_chain:
            self.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if anchors.crl_pem is not None:
            whole, leaf = ssl.VERIFY_CRL_CHECK_CHAIN, ssl.VERIFY_CRL_CHECK_LEAF
            self.verify_flags |= leaf if anchors.only_leaf_crl else whole
            with in_memory(anchors.crl_pem) as path:
                self.load_verify_locations(cafile=path)
        with in_memory(material.chain_pem + material.key_pem) as path:
            self.load_cert_chain(path)
        if alpn:
            self.set_alpn_protocols(list(alpn))
        if server_side:
            self.num_tickets = 0
        return self


def _protocol(*, server_side: bool) -> int:
    return ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT


def _harden(context: ssl.SSLContext, minimum: ssl.TLSVersion) -> None:
    context.minimum_version = minimum
    # Of TLS 1.2 what 1.3 has too: forward secrecy, AEAD, one handshake (RFC 9325 §4.2, §3.5).
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    # The peer is known by its SPIFFE ID, or by a DNS name on the list, and not by where it is.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED


def _admit(connection: Any) -> str:
    context = connection.context
    raw = connection.getpeercert(binary_form=True)
    if not isinstance(context, _Snapshot) or raw is None:
        raise MtlsFault("a handshake without a certificate or without a policy")
    try:
        certificate = x509.load_der_x509_certificate(raw)
    except ValueError:
        raise PeerRefused("the peer's certificate can't be read") from None
    anchors = context.anchors
    if anchors.revoked_since and any(
        map(anchors.has_revoked_since, (certificate, *verified_chain(connection)))
    ):
        raise PeerRefused("the peer's certificate, or one above it, is revoked (delta CRL)")
    return context.policy.admit(certificate)


def verified_chain(connection: Any) -> list[x509.Certificate]:
    """Return the chain of the peer that OpenSSL found, leaf first, with its root.

    The method of ``ssl`` is public from Python 3.13 on.
    """
    if hasattr(connection, "get_verified_chain"):
        return [x509.load_der_x509_certificate(each) for each in connection.get_verified_chain()]
    found = connection._sslobj.get_verified_chain()  # noqa: SLF001 - see above
    return [x509.load_pem_x509_certificate(each.public_bytes().encode()) for each in found]


class _NoObject(ssl.SSLObject):
    """The connection where there is no certificate or trust: its handshake fails."""

    def do_handshake(self) -> None:
        raise NothingToShow("there is no valid certificate or no trust bundle to speak mTLS with")


class _Checked:
    """A TLS connection whose peer is admitted before a byte is read or written.

    The mixin of the two connection classes of ``ssl``, whose arguments it passes on.
    """

    septem_peer = ""

    def do_handshake(self, *arguments: Any, **named: Any) -> None:
        super().do_handshake(*arguments, **named)  # type: ignore[misc]
        self.septem_peer = _admit(self)

    def read(self, *arguments: Any, **named: Any) -> Any:
        _require(self.septem_peer)
        return super().read(*arguments, **named)  # type: ignore[misc]

    def write(self, *arguments: Any, **named: Any) -> Any:
        _require(self.septem_peer)
        return super().write(*arguments, **named)  # type: ignore[misc]


class _CheckedObject(_Checked, ssl.SSLObject):
    """A checked connection in memory."""


class _CheckedSocket(_Checked, ssl.SSLSocket):
    """A checked connection on a socket. All reads and writes there end in ``_Checked`` or here."""

    def send(self, *arguments: Any, **named: Any) -> int:
        _require(self.septem_peer)
        return super().send(*arguments, **named)


def _require(peer: str) -> None:
    """Refuse data before the handshake is done: OpenSSL would do it silently, without us."""
    if not peer:
        raise MtlsFault("the handshake is not done, or the peer was denied")


def _is_connected(sock: Any) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True
