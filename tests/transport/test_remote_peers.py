"""Who may fetch secrets over the network: by one verification, now and after the handshake."""

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.common.clock import wall_seconds
from sidecar.config.secrets import TrustBundle
from sidecar.transport.remote_peers import RemotePeers
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
CRLS = (pem(LOWER.crl()), pem(ROOT.crl()))


def trust(*crls: str, now: float = 0.0) -> TrustAnchors:
    return read_anchors([LOWER.chain], crls or CRLS, now or wall_seconds())


def peers(
    anchors: TrustAnchors | None, *listed: str, now: float = 0.0, pins: tuple[str, ...] = ()
) -> RemotePeers:
    bundle = TrustBundle(name="envoys", peers=listed or (A,), spki_pins=pins)
    return RemotePeers(lambda: (bundle, anchors), lambda: None, lambda: now or wall_seconds())


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
    ("no trust", peers(None), "has not been read"),
]  # fmt: skip


@pytest.mark.parametrize(("checked", "refusal"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_a_peer_is_judged_as_a_handshake_of_now_would(checked: RemotePeers, refusal: str) -> None:
    found = checked.refusal(PEER)
    assert (refusal in found) if refusal else found == ""


def test_what_was_good_and_has_ended_since_does_not_stay() -> None:
    """Other connections outlive their certificates; those that are given keys do not."""
    clock = [wall_seconds()]
    bundle = TrustBundle(name="envoys", peers=(A,))
    anchors = trust()
    checked = RemotePeers(lambda: (bundle, anchors), lambda: None, lambda: clock[0])
    assert checked.refusal(PEER) == ""
    clock[0] += 13 * HOUR
    assert "expired" in checked.refusal(PEER)


def test_without_a_certificate_there_is_nothing_to_show() -> None:
    with pytest.raises(NothingToShow):
        peers(trust()).current()


def test_an_empty_list_would_be_everybody_and_is_refused_here_too() -> None:
    with pytest.raises(MtlsFault, match="peers must list"):
        RemotePeers(lambda: (TrustBundle(name="x"), None), lambda: None, wall_seconds)
