"""The check of a peer's chain where the handshake's own check knows no CRLs. Pure.

gRPC's TLS checks a chain against the roots and leaves CRLs out. So the chain that it reports is
given to OpenSSL once more, with the roots, CRLs, flags and time with which a handshake by ``ssl``
is checked (``workload.mtls.context``): the same engine by the same rules (RFC 5280 §6.1, §6.3),
so a peer is admitted by both or by neither. A CA is told from its namesake by its key; a CRL past
its ``nextUpdate``, or one that is missing, refuses; so does a revoked intermediate.

A connection outlives its certificate and its CA, as a connection by ``ssl`` does: a chain that was
good once is good for calls on until it is revoked. gRPC itself makes no new connection with it.
"""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509
from OpenSSL import crypto

from workload.mtls.peers import PeerRefused
from workload.x509.anchors import TrustAnchors
from workload.x509.crls import split_crls
from workload.x509.reading import CertificateUnreadable, load_chain

MAX_CHAIN_BYTES = 131_072
MAX_CHAINS = 4096
_VERSIONS = 4
_ENDED = {
    2,  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT
    10,  # X509_V_ERR_CERT_HAS_EXPIRED
    18,  # X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
    19,  # X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
    20,  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    21,  # X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE
}
"""OpenSSL's errors for a certificate past its end, or below a root that is believed no more."""


class ChainEnded(PeerRefused):
    """A chain has expired, or leads to no root that is believed now."""


class VerifiedChain(NamedTuple):
    """A chain that was good, leaf first. Times are Unix seconds."""

    certificates: tuple[x509.Certificate, ...]
    version: str
    """Of the trust that it was verified by."""
    since: float
    until: float
    """The first end of a certificate or a CRL: until then nothing changes under this trust."""
    ended: bool = False
    """It was good under an earlier trust, or at an earlier time, and is not revoked now."""


class ChainVerifier:
    """Verifies the chains of one server's peers, each once under one version of trust."""

    def __init__(self, max_chains: int = MAX_CHAINS) -> None:
        self._max_chains = max_chains
        self._seen: OrderedDict[bytes, VerifiedChain] = OrderedDict()

    def verify(
        self, pems: Sequence[bytes], anchors: TrustAnchors, now: float, *, resumed: bool
    ) -> x509.Certificate:
        """Return the leaf of a peer's chain, for one call. Raises ``PeerRefused``.

        ``resumed``: the connection was made without showing a certificate, so one that has
        ended since it was shown admits nobody.
        """
        text = b"\n".join(pems)
        if len(text) > MAX_CHAIN_BYTES:
            raise PeerRefused(f"the peer's chain has more than {MAX_CHAIN_BYTES} bytes")
        digest = hashlib.sha256(text).digest()
        seen = self._seen.get(digest)
        if (
            seen is None
            or seen.version != anchors.version
            or not seen.since <= now < seen.until
            or (seen.ended and resumed)
        ):
            seen = self._again(text, seen, anchors, now, resumed=resumed)
        self._seen[digest] = seen
        self._seen.move_to_end(digest)
        if len(self._seen) > self._max_chains:
            self._seen.popitem(last=False)
        return seen.certificates[0]

    def _again(
        self,
        text: bytes,
        seen: VerifiedChain | None,
        anchors: TrustAnchors,
        now: float,
        *,
        resumed: bool,
    ) -> VerifiedChain:
        try:
            return verify_chain(text, anchors, now)
        except ChainEnded:
            if seen is None or resumed or _is_listed(seen.certificates, anchors):
                raise
            # Until the trust changes, or by a CRL's end must have changed.
            until = anchors.ends_at if anchors.crl_pem is not None else None
            return seen._replace(
                version=anchors.version, since=now, until=until or math.inf, ended=True
            )


def verify_chain(text: bytes, anchors: TrustAnchors, now: float) -> VerifiedChain:
    """Verify a chain by OpenSSL: PEM, the leaf first, others in any order.

    Raises ``ChainEnded``, ``PeerRefused``.
    """
    try:
        leaf, *others = load_chain(text.decode("ascii", "replace"))
        chain = [crypto.X509.from_cryptography(each) for each in (leaf, *others)]
    except (CertificateUnreadable, crypto.Error):
        raise PeerRefused("the peer's certificate can't be read") from None
    store = _store(anchors, now)
    try:
        found = crypto.X509StoreContext(store, chain[0], chain[1:]).get_verified_chain()
    except crypto.X509StoreContextError as fault:
        kind = ChainEnded if fault.errors[0] in _ENDED else PeerRefused
        raise kind(f"the peer's chain is not valid: {fault}") from None
    certificates = tuple(each.to_cryptography() for each in found)
    if any(anchors.has_revoked_since(each) for each in certificates):
        raise PeerRefused("the peer's chain is not valid: certificate revoked (delta CRL)")
    ends = [each.not_valid_after_utc.timestamp() for each in certificates]
    if anchors.ends_at is not None:
        ends.append(anchors.ends_at)
    return VerifiedChain(certificates, anchors.version, now, min(ends))


def _is_listed(chain: Sequence[x509.Certificate], anchors: TrustAnchors) -> bool:
    """Return whether a CRL of now lists a certificate of a chain that has ended."""
    return any(map(anchors.has_revoked_since, chain)) or any(
        crl.issuer == each.issuer
        and crl.get_revoked_certificate_by_serial_number(each.serial_number) is not None
        for crl in _crls(anchors.crl_pem or b"")
        for each in chain
    )


def _store(anchors: TrustAnchors, now: float) -> crypto.X509Store:
    """Return what OpenSSL verifies against. A new one each time: it takes its time only once."""
    store = crypto.X509Store()
    store.set_time(datetime.fromtimestamp(now, UTC))
    for root in x509.load_pem_x509_certificates(anchors.roots_pem):
        store.add_cert(crypto.X509.from_cryptography(root))
    flags = 0
    if anchors.partial_chain:
        flags |= crypto.X509StoreFlags.PARTIAL_CHAIN
    if anchors.crl_pem is not None:
        for crl in _crls(anchors.crl_pem):
            store.add_crl(crl)
        flags |= crypto.X509StoreFlags.CRL_CHECK
        flags |= 0 if anchors.only_leaf_crl else crypto.X509StoreFlags.CRL_CHECK_ALL
    store.set_flags(flags)
    return store


@lru_cache(maxsize=_VERSIONS)
def _crls(pem: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    return tuple(
        x509.load_pem_x509_crl(each.encode("ascii")) for each in split_crls(pem.decode("ascii"))
    )
