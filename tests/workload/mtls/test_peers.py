"""Whom a policy admits, and as whom."""

import ssl

import pytest

from tests.support.authorities import Ca
from workload.errors import Fault
from workload.mtls import MtlsFault, NothingToShow, PeerPolicy, PeerRefused
from workload.mtls.peers import AnyPeer
from workload.x509.material import spki_pin

OURS = Ca("platform")
A, B = "spiffe://septemcore/ns/a", "spiffe://septemcore/ns/b"
LEAF, _ = OURS.leaf(A, dns_names=["a.internal"])
PIN = spki_pin(LEAF)


@pytest.mark.parametrize(
    ("peers", "pins", "who"),
    [
        ([A], [], A), ([B, "spiffe://septemcore/*"], [], A), (["a.internal"], [], A),
        ([A], ["x", PIN], A),
    ],
)  # fmt: skip
def test_who_is_admitted(peers: list[str], pins: list[str], who: str) -> None:
    assert PeerPolicy.of(peers, pins).admit(LEAF) == who


@pytest.mark.parametrize(
    ("peers", "pins", "said"),
    [([B], [], f"the peer is {A}, a.internal, who is not on the list"), ([A], ["x"], "pinned")],
)
def test_who_is_refused(peers: list[str], pins: list[str], said: str) -> None:
    with pytest.raises(PeerRefused, match=said):
        PeerPolicy.of(peers, pins).admit(LEAF)


def test_who_is_nobody_is_refused_with_the_rule() -> None:
    with pytest.raises(PeerRefused, match=r"identifies nobody: .* is a CA's \(X509-SVID §5\.2\)"):
        PeerPolicy.of([A]).admit(OURS.certificate)


@pytest.mark.parametrize(
    "peers", [[], A, ["spiffe://septemcore"], ["spiffe://septemcore//*"], ["spiffe://d/../*", A]]
)
def test_a_list_that_can_t_be_meant_so(peers: list[str]) -> None:
    with pytest.raises(MtlsFault, match="peers"):
        PeerPolicy.of(peers)


@pytest.mark.parametrize("kind", [PeerRefused, NothingToShow])
def test_whoever_runs_the_handshake_sees_an_ssl_error_that_says_why(kind: type[Fault]) -> None:
    assert issubclass(kind, ssl.SSLError)
    assert str(kind("why")) == "why"


def test_any_peer_is_admitted_by_its_subject_and_no_ca() -> None:
    leaf, _ = OURS.leaf()
    assert AnyPeer().admit(leaf) == "CN=a service"
    with pytest.raises(PeerRefused, match="is a CA's"):
        AnyPeer().admit(OURS.certificate)
    with pytest.raises(PeerRefused, match="none of the pinned ones"):
        AnyPeer((spki_pin(OURS.certificate),)).admit(leaf)
    assert AnyPeer((spki_pin(leaf),)).admit(leaf) == "CN=a service"
