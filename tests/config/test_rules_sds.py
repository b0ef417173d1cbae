"""``listen.sds``: nobody is given a private key who is not named."""

import pytest

from sidecar.config import parse_config
from sidecar.config.rules_warnings import config_warnings
from tests.config.documents import MINIMAL, problems

CERTIFICATE = (
    "issuers: [{name: ca, type: vault_pki, role: service}]\n"
    "certificates: [{name: sds, issuer: ca, spiffe_id: spiffe://septemcore/sidecar}]\n"
)
CRL = "roots: {source: vault_pki, crl: true}"
MTLS = "mtls: {certificate: sds, trust_bundle: envoys}"
FAR = f"address: '10.0.0.1:9101', {MTLS}"
PEERS = "peers: [spiffe://septemcore/envoy/a]"


def text(sds: str, bundle: str = f"{CRL}, {PEERS}", certificate: str = CERTIFICATE) -> str:
    bundles = f"trust_bundles: [{{name: envoys, {bundle}}}]\n"
    return f"{MINIMAL}listen: {{sds: {{{sds}}}}}\n{certificate}{bundles}"


BAD: list[tuple[str, str, str]] = [
    ("in the open", text("address: '10.0.0.1:9101'"),
     "listen.sds.address: must be on loopback or a Unix socket, for it hands out private keys"),
    ("every address", text("address: '0.0.0.0:9101'"), "listen.sds.address: must be on loopback"),
    ("a name of another host", text("address: 'sds.internal:9101'"),
     "listen.sds.address: must be on loopback"),
    ("users over TCP", text("peer_uids: [101]"),
     "listen.sds.peer_uids: is only for a Unix socket"),
    ("groups over TCP", text("peer_gids: [101]"),
     "listen.sds.peer_gids: is only for a Unix socket"),
    ("users beside mTLS", text(f"{FAR}, peer_uids: [101]"),
     "listen.sds.peer_uids: is only for a Unix socket"),
    ("mTLS on a Unix socket", text(f"address: 'unix:/run/sds', {MTLS}"),
     "listen.sds.mtls: is only for TCP: on a Unix socket the kernel names the peer"),
    ("a certificate that is none", text(FAR.replace("certificate: sds", "certificate: edge")),
     "listen.sds.mtls.certificate: is not the name of an entry of certificates; there are: sds"),
    ("no certificates", text(FAR, certificate=""),
     "listen.sds.mtls.certificate: is not the name of an entry of certificates; there are: none"),
    ("a bundle that is none", text(FAR.replace("trust_bundle: envoys", "trust_bundle: callers")),
     "listen.sds.mtls.trust_bundle: is not the name of an entry of trust_bundles; there are: env"),
    ("everybody", text(FAR, CRL),
     "trust_bundles[0].peers: must list who may fetch private keys, because listen.sds.mtls"),
    ("everybody on loopback", text(MTLS, CRL), "trust_bundles[0].peers: must list"),
    ("half of it", text("mtls: {certificate: sds}"), "listen.sds.mtls.trust_bundle: is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "problem"), [r[1:] for r in BAD], ids=[r[0] for r in BAD])
def test_what_would_hand_keys_to_somebody_without_a_name_is_refused(
    document: str, problem: str
) -> None:
    assert any(problem in each for each in problems(document)), problems(document)


GOOD: list[tuple[str, str]] = [
    ("loopback", text("address: '127.0.0.1:9101'")),
    ("a Unix socket", text("address: 'unix:/run/sds', peer_uids: [101]")),
    ("another host", text(FAR)),
    ("every address", text(FAR.replace("10.0.0.1", "[::]"))),
    ("loopback with mTLS", text(MTLS)),
    ("a DNS name", text(FAR, f"{CRL}, peers: [envoy.internal]")),
    ("roots in KV", text(FAR, f"roots: {{source: vault_kv, path: r, crl_field: c}}, {PEERS}")),
]


@pytest.mark.parametrize("document", [r[1] for r in GOOD], ids=[r[0] for r in GOOD])
def test_what_names_its_peers_is_good(document: str) -> None:
    assert list(config_warnings(parse_config(document, "test"))) == []


WARNED: list[tuple[str, str, str]] = [
    ("a whole domain", text(FAR, f"{CRL}, peers: ['spiffe://septemcore/*']"),
     "every service of septemcore may fetch private keys"),
    ("no CRLs", text(FAR, PEERS), "has no CRLs, and listen.sds.mtls uses it"),
    ("no CRLs in KV", text(FAR, f"roots: {{source: vault_kv, path: r}}, {PEERS}"), "has no CRLs"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "warning"), [r[1:] for r in WARNED], ids=[r[0] for r in WARNED]
)
def test_what_is_hardly_meant_is_warned_of(document: str, warning: str) -> None:
    (found,) = config_warnings(parse_config(document, "test"))
    assert warning in found.message


def test_a_bundle_of_another_use_is_not_warned_of() -> None:
    document = text("address: '127.0.0.1:9101'", "peers: ['spiffe://septemcore/*']")
    assert list(config_warnings(parse_config(document, "test"))) == []
