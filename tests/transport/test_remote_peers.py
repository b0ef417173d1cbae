"""Who may connect over mutual TLS: by one verification, now and after the handshake."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.common.clock import wall_seconds
from sidecar.transport.identities import Trusted
from sidecar.transport.remote_peers import ListenerTls, RemotePeers
from sidecar.transport.tls_guard import TlsPeer
from tests.support.authorities import Ca, pem
from workload.mtls import MtlsFault, NothingToShow
from workload.x509.anchors import TrustAnchors, read_anchors
from workload.x509.material import spki_pin

ROOT = Ca("platform")
LOWER = Ca("lower", parent=ROOT)
A, B = "spiffe://septemcore/envoy/a", "spiffe://septemcore/envoy/b"
CERTIFICATE, _ = LOWER.leaf(A)
PEER = TlsPeer(A, tuple(each.public_bytes(Encoding.PEM) for each in (CERTIFICATE, *LOWER.chain)))
H2 = ListenerTls(("h2",))
CRLS = (pem(LOWER.crl()), pem(ROOT.crl()))


def trust(*crls: str, now: float = 0.0) -> TrustAnchors:
    return read_anchors([LOWER.chain], crls or CRLS, now or wall_seconds())


def peers(
    anchors: TrustAnchors | None, *listed: str, now: float = 0.0, pins: tuple[str, ...] = ()
) -> RemotePeers:
    trusted = Trusted(anchors, listed or (A,), pins)
    return RemotePeers(lambda: trusted, lambda: None, lambda: now or wall_seconds(), H2)


HOUR = 3600.0
ROWS: list[tuple[str, RemotePeers, str]] = [
    ("well", peers(trust()), ""),
    ("below a listed path", peers(trust(), "spiffe://septemcore/envoy/*"), ""),
    ("its key is pinned", peers(trust(), pins=(spki_pin(CERTIFICATE),)), ""),
    ("another key is pinned", peers(trust(), pins=("A" * 43 + "=",)), "none of the pinned ones"),
    ("not on the list", peers(trust(), B), "not on the list"),
    ("revoked", peers(trust(pem(LOWER.crl([CERTIFICATE.serial_number])), CRLS[1])), "revoked"),
    ("revoked by a delta CRL",
     peers(trust(*CRLS, pem(LOWER.crl([CERTIFICATE.serial_number], delta=True)))), "delta CRL"),
    ("its intermediate is revoked",
     peers(trust(CRLS[0], pem(ROOT.crl([LOWER.certificate.serial_number])))), "revoked"),
    ("it has ended", peers(trust(), now=wall_seconds() + 13 * HOUR), "expired"),
    ("the CRL has ended",
     peers(trust(pem(LOWER.crl(hours=1)), CRLS[1]), now=wall_seconds() + 2 * HOUR), "CRL"),
    ("no trust", peers(None), "have not been read"),
]  # fmt: skip


@pytest.mark.parametrize(("checked", "refusal"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_a_peer_is_judged_as_a_handshake_of_now_would(checked: RemotePeers, refusal: str) -> None:
    found = checked.refusal(PEER)
    assert (refusal in found) if refusal else found == ""


def test_what_was_good_and_has_ended_since_does_not_stay() -> None:
    """Other connections outlive their certificates; those that are given keys do not."""
    clock = [wall_seconds()]
    trusted = Trusted(trust(), (A,))
    checked = RemotePeers(lambda: trusted, lambda: None, lambda: clock[0], H2)
    assert checked.refusal(PEER) == ""
    clock[0] += 13 * HOUR
    assert "expired" in checked.refusal(PEER)


def test_without_a_certificate_there_is_nothing_to_show() -> None:
    with pytest.raises(NothingToShow):
        peers(trust()).current()


def test_an_empty_list_would_be_everybody_and_is_refused_here_too() -> None:
    with pytest.raises(MtlsFault, match="peers must list"):
        RemotePeers(lambda: Trusted(None, ()), lambda: None, wall_seconds, H2)


NOBODYS, _ = LOWER.leaf()
UNLISTED: list[tuple[str, x509.Certificate, tuple[str, ...], str]] = [
    ("with a name", CERTIFICATE, (), ""),
    ("with a subject alone", NOBODYS, (), ""),
    ("a CA itself", LOWER.certificate, (), "the certificate is a CA's"),
    ("its key is pinned", NOBODYS, (spki_pin(NOBODYS),), ""),
    ("another key is pinned", NOBODYS, (spki_pin(CERTIFICATE),), "none of the pinned ones"),
    ("revoked", NOBODYS, (), "revoked"),
]


@pytest.mark.parametrize(("leaf", "pins", "refusal"), [r[1:] for r in UNLISTED],
                         ids=[r[0] for r in UNLISTED])  # fmt: skip
def test_where_no_list_is_needed_whom_the_roots_vouch_for_comes_in(
    leaf: x509.Certificate, pins: tuple[str, ...], refusal: str
) -> None:
    anchors = trust(pem(LOWER.crl([leaf.serial_number])), CRLS[1]) if refusal == "revoked" else (
        trust())  # fmt: skip
    trusted = Trusted(anchors, (), pins)
    tls = ListenerTls(("http/1.1",), any_peer=True)
    checked = RemotePeers(lambda: trusted, lambda: None, wall_seconds, tls)
    found = checked.refusal(
        TlsPeer("x", tuple(each.public_bytes(Encoding.PEM) for each in (leaf, *LOWER.chain)))
    )
    assert (refusal in found) if refusal else found == ""
